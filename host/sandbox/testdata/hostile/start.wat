;; Traps when it is started.
(module (func $s unreachable) (start $s) (func (export "render") (result i32) (i32.const 0)))
