package flow

// wheelSlots is the wheel's circumference in seconds; every timeout is shorter.
const wheelSlots = 1024

// life is the part of a flow's record that only its beginning, its timers and its end touch.
type life struct {
	id                 uint64
	periodic           int64 // packet time of the next Periodic record
	next, prev         uint32
	slot               uint32 // wheel slot it hangs in
	halfNext, halfPrev uint32 // list of half-open flows, oldest first
}

// none ends a list.
const none = ^uint32(0)

// wheel is a timer wheel over flow indexes with slots of one second. The lists run through the flows' life records.
type wheel struct {
	heads [wheelSlots]uint32
	now   int64 // the second whose slot was emptied last
}

func (w *wheel) init(now int64) {
	for i := range w.heads {
		w.heads[i] = none
	}
	w.now = now
}

// schedule hangs flow i into the slot of the given second, at the earliest the next one.
func (t *Table) schedule(i uint32, l *life, second int64) {
	second = min(max(second, t.wheel.now+1), t.wheel.now+wheelSlots-1)
	l.slot = uint32(second & (wheelSlots - 1))
	head := t.wheel.heads[l.slot]
	l.next, l.prev = head, none
	if head != none {
		t.lives.at(head).prev = i
	}
	t.wheel.heads[l.slot] = i
}

func (t *Table) unschedule(l *life) {
	if l.prev != none {
		t.lives.at(l.prev).next = l.next
	} else {
		t.wheel.heads[l.slot] = l.next
	}
	if l.next != none {
		t.lives.at(l.next).prev = l.prev
	}
}

// turn fires every flow whose slot lies between the last turn and now. A jump in time turns the wheel once.
func (t *Table) turn(now int64) {
	second := now / 1e9
	if second < t.wheel.now { // the capture went back in time: its slots stay, what they mean is checked on firing
		t.wheel.now = second
		return
	}
	first := max(t.wheel.now+1, second-wheelSlots+1)
	for s := first; s <= second; s++ {
		t.wheel.now = s
		head := &t.wheel.heads[s&(wheelSlots-1)]
		i := *head
		*head = none
		for i != none {
			l := t.lives.at(i)
			next := l.next
			if next != none {
				t.lives.at(next).prev = none
			}
			l.next, l.prev = none, none
			t.fire(i, l, second)
			i = next
		}
	}
}

// addHalf puts a flow at the end of the list of half-open ones.
func (t *Table) addHalf(i uint32, l *life) {
	l.halfNext, l.halfPrev = none, t.halfTail
	if t.halfTail != none {
		t.lives.at(t.halfTail).halfNext = i
	} else {
		t.halfHead = i
	}
	t.halfTail = i
}

func (t *Table) removeHalf(l *life) {
	if l.halfPrev != none {
		t.lives.at(l.halfPrev).halfNext = l.halfNext
	} else {
		t.halfHead = l.halfNext
	}
	if l.halfNext != none {
		t.lives.at(l.halfNext).halfPrev = l.halfPrev
	} else {
		t.halfTail = l.halfPrev
	}
}
