package meter

// Precise makes Rewrite charge for each segment where it begins, which is slower and costs no call more than it does otherwise.
func Precise(c Config) Config {
	c.precise = true
	return c
}
