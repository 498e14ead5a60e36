;; Never finishes starting.
(module (func $s (loop (br 0))) (start $s) (func (export "render") (result i32) (i32.const 0)))
