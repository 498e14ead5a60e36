;; The host function "again" calls the export it gets the number of. "run" calls itself by the host for ever, "spin" does it in a loop.
(module
  (import "host" "again" (func $again (param i32)))
  (func (export "0") (loop (br 0)))
  (func (export "1") (call $again (i32.const 1)))
  (func (export "2"))
  (func (export "3") (unreachable))
  (func (export "run") (call $again (i32.const 1)))
  (func (export "spin") (loop (call $again (i32.const 2)) (br 0)))
  (func (export "nest") (loop (call $again (i32.const 0)) (br 0)))
  (func (export "fail") (loop (call $again (i32.const 3)) (br 0))))
