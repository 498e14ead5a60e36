;; Data segments and bulk copies as a bomb: 64 bytes of data, copied over all of 32 MiB again and again.
(module
  (memory (export "memory") 512)
  (data $d "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
  (func (export "render") (result i32) (local $at i32)
    (loop
      (memory.init $d (local.get $at) (i32.const 0) (i32.const 64))
      (memory.copy (i32.const 64) (i32.const 0) (i32.const 33554368))
      (local.set $at (i32.and (i32.add (local.get $at) (i32.const 64)) (i32.const 0x1ffff)))
      (br 0))
    (i32.const 0)))
