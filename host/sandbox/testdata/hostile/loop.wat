;; An infinite loop without any call.
(module (func (export "render") (result i32) (loop (br 0)) (i32.const 0)))
