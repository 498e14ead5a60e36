;; A component: the version's two bytes are 0d 00, the layer's 01 00.
(assert_malformed (module binary "\00asm\0d\00\01\00") "unknown binary version")
