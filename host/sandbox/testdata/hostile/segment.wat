;; A data segment beyond the end of the memory.
(module (memory (export "memory") 1) (data (i32.const 0x7ffffff0) "far out") (func (export "render") (result i32) (i32.const 0)))
