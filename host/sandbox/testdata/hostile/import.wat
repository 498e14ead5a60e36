;; Imports a function that no host of this version has; its name has control characters.
(module (import "extism:host/env" "send_\1b[2Jmail\0a" (func)) (func (export "render") (result i32) (i32.const 0)))
