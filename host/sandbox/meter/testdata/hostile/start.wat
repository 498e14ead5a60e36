;; The start function never ends.
(module (func $f (loop (br 0))) (start $f) (func (export "run")))
