;; Two sections tocsin.manifest, and two memory sections: whoever reads the first sees another plug-in than who reads the last.
(assert_malformed (module binary "\00asm\01\00\00\00"
  "\00\1b\0ftocsin.manifestname = \22a\22\n"
  "\00\1b\0ftocsin.manifestname = \22b\22\n"
  "\05\03\01\00\01" "\05\03\01\00\02") "unexpected content after last section")
