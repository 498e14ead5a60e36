package dissect

import "math/bits"

// firstMiss looks at the first payload of a flow that no probe recognised: at programs sent as they are, and at bytes
// that look like nothing at all.
func (c *ctx) firstMiss() {
	switch what := program(c.b); what {
	case "":
		c.s.opaque = c.p.L4 == l4TCP && c.dir == 0 && fullyEncrypted(c.b)
	case "script":
		c.risk(RiskPossibleExploit, "script sent as it is")
	default:
		c.risk(RiskBinaryApplicationTransfer, what)
	}
}

// fullyEncrypted applies the rules by which a large censor finds traffic that hides what it is (M. Wu et al., "How the
// Great Firewall of China Detects and Blocks Fully Encrypted Traffic", USENIX Security 2023): as many ones as zeros, and
// not enough printable characters, neither at the beginning nor in total nor in a row.
func fullyEncrypted(b []byte) bool {
	if len(b) < 24 {
		return false
	}
	ones, text, run, longest := 0, 0, 0, 0
	for i, x := range b {
		ones += bits.OnesCount8(x)
		if x < 0x20 || x > 0x7e {
			run = 0
			continue
		}
		text++
		if run++; run > longest {
			longest = run
		}
		if run == 6 && i == 5 {
			return false
		}
	}
	if avg := float64(ones) / float64(len(b)); avg <= 3.4 || avg >= 4.6 {
		return false
	}
	return 2*text <= len(b) && longest <= 20
}
