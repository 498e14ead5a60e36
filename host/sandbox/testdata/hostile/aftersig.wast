;; A section after the signature: somebody added to what was signed.
(assert_malformed (module binary "\00asm\01\00\00\00"
  "\00\1b\0ftocsin.manifestname = \22a\22\n"
  "\00\0f\0atocsin.sigsign"
  "\00\05\04more") "a section after the signature")
