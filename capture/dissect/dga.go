package dissect

import "strings"

// commonPairs are the pairs of letters that make up most of the text in European languages, packed in rows: for each
// first letter, from a to z, the letters that often follow it.
var commonPairs = func() (t [26]uint32) {
	for i, row := range [26]string{
		"bcdfgiklmnprstuvyz", "aeilorsuy", "acehiklorstuy", "adegilorsuy", "abcdefgilmnoprstuvwxy",
		"aefilortu", "aeghilnorsu", "aeioruty", "abcdefgklmnoprstvxz", "aeou", "aeilnosy",
		"adefiklmostuvy", "abeimopsuy", "acdefgiknostuvy", "abcdefgiklmnoprstuvwy", "aehilopqrstu", "u",
		"abcdegiklmnoprstuvy", "acehiklmnopqstuwy", "aceghiloprstuwyz", "abcdegilmnprstz", "aeiorsu",
		"aehinors", "aeipty", "aeilnoprst", "aeiouz",
	} {
		for k := range len(row) {
			t[i] |= 1 << (row[k] - 'a')
		}
	}
	return t
}()

// secondLevel are labels that registries put before the country.
var secondLevel = map[string]bool{
	"co": true, "com": true, "net": true, "org": true, "gov": true, "edu": true, "ac": true, "or": true, "ne": true, "go": true,
}

// registered returns the label that somebody registered: "example" of "www.example.co.uk".
func registered(host string) string {
	i := strings.LastIndexByte(host, '.')
	if i <= 0 {
		return ""
	}
	rest := host[:i]
	j := strings.LastIndexByte(rest, '.')
	label := rest[j+1:]
	if j > 0 && len(host)-i <= 3 && secondLevel[label] {
		rest = rest[:j]
		label = rest[strings.LastIndexByte(rest, '.')+1:]
	}
	return label
}

// looksGenerated judges whether a machine made up the registered part of a name: it is long, and its letters do not
// follow each other as in words. Names that mean something in any European language, numbers and abbreviations pass.
func looksGenerated(host string) bool {
	if isArpa(host) || strings.HasSuffix(host, ".local") {
		return false
	}
	l := registered(host)
	if len(l) < 10 || len(l) > 63 || strings.HasPrefix(l, "xn--") {
		return false
	}
	pairs, common, run, longest, digits, letters, switches := 0, 0, 0, 0, 0, 0, 0
	var prev byte
	for i := range len(l) {
		x := l[i]
		switch {
		case x >= 'a' && x <= 'z':
			letters++
			switch x {
			case 'a', 'e', 'i', 'o', 'u', 'y':
				run = 0
			default:
				if run++; run > longest {
					longest = run
				}
			}
			if prev >= 'a' && prev <= 'z' {
				pairs++
				if commonPairs[prev-'a']&(1<<(x-'a')) != 0 {
					common++
				}
			}
			if prev >= '0' && prev <= '9' {
				switches++
			}
		case x >= '0' && x <= '9':
			digits++
			run = 0
			if prev >= 'a' && prev <= 'z' {
				switches++
			}
		default:
			run = 0
		}
		prev = x
	}
	if letters < 6 || pairs == 0 {
		return false
	}
	share := float64(common) / float64(pairs)
	switch {
	case digits >= 2 && switches >= 4 && share < 0.75:
		return true
	case longest >= 5 && share < 0.65:
		return true
	case share < 0.45:
		return true
	}
	return false
}
