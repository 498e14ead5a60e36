// Command guest is a Go module for the tests of package meter: work of several kinds, each with a result that must not
// change when the module is rewritten.
package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

func main() {}

var tasks = []func(n int) uint64{hash, sorted, mapped, fib, goroutines, texts, jsons, panics, regexps}

//go:wasmexport tasks
func count() int32 { return int32(len(tasks)) }

//go:wasmexport run
func run(task, n int32) uint64 { return tasks[task](int(n)) }

func hash(n int) uint64 {
	var h [32]byte
	for range n {
		h = sha256.Sum256(h[:])
	}
	return binary.LittleEndian.Uint64(h[:])
}

func random(n int) []uint32 {
	s := make([]uint32, n)
	x := uint32(2463534242)
	for i := range s {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		s[i] = x
	}
	return s
}

func sorted(n int) (sum uint64) {
	s := random(n)
	slices.Sort(s)
	for i, v := range s {
		sum = sum*31 + uint64(v)*uint64(i)
	}
	return sum
}

func mapped(n int) (sum uint64) {
	m := map[uint32]string{}
	for i, v := range random(n) {
		m[v%uint32(n)] += fmt.Sprint(i)
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		sum = sum*31 + uint64(k) + uint64(len(m[k]))
	}
	return sum
}

func fib(n int) uint64 {
	if n < 2 {
		return uint64(n)
	}
	return fib(n-1) + fib(n-2)
}

func goroutines(n int) uint64 {
	in, out := make(chan int), make(chan uint64)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for v := range in {
				out <- uint64(v) * uint64(v)
			}
		})
	}
	go func() {
		for i := range n {
			in <- i
		}
		close(in)
		wg.Wait()
		close(out)
	}()
	var sum uint64
	for v := range out {
		sum += v
	}
	return sum
}

func texts(n int) uint64 {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "line %d: %q %.3f\n", i, strings.Repeat("ü", i%7), float64(i)/3)
	}
	h := fnv.New64a()
	for line := range strings.Lines(strings.ToUpper(b.String())) {
		h.Write([]byte(strings.ReplaceAll(line, "LINE", "row")))
	}
	return h.Sum64()
}

func jsons(n int) uint64 {
	type alert struct {
		Name  string            `json:"name"`
		Score int               `json:"score"`
		Tags  map[string]string `json:"tags"`
		Inner []alert           `json:"inner,omitempty"`
	}
	h := fnv.New64a()
	for i := range n {
		inner := alert{fmt.Sprint("alert ", i), i, map[string]string{"a": "b", "n": fmt.Sprint(i)}, nil}
		a := alert{"outer", i, nil, []alert{inner, inner}}
		b, err := json.Marshal(a)
		if err != nil {
			panic(err)
		}
		var back alert
		if err := json.Unmarshal(b, &back); err != nil {
			panic(err)
		}
		fmt.Fprintf(h, "%v", back)
	}
	return h.Sum64()
}

func panics(n int) (sum uint64) {
	for i := range n {
		func() {
			defer func() {
				if p := recover(); p != nil {
					sum += uint64(len(fmt.Sprint(p)))
				}
			}()
			s := make([]int, i%5)
			sum += uint64(s[i%7])
		}()
	}
	return sum
}

func regexps(n int) (sum uint64) {
	re := regexp.MustCompile(`([a-z]+)-(\d+)(?:x|y)?`)
	text := strings.Repeat("abc-12x foo bar-9 ", n)
	for _, m := range re.FindAllStringSubmatch(text, -1) {
		sum = sum*31 + uint64(len(m[0])+len(m[2]))
	}
	return sum
}
