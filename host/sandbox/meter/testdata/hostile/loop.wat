;; A loop without end, of nothing.
(module (func (export "run") (loop br 0)))
