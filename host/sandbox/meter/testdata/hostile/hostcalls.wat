;; Calls of the host without end.
(module
  (import "host" "nothing" (func $nothing))
  (func (export "run") (loop (call $nothing) (br 0))))
