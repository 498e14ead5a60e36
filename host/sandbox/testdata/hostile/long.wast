;; A custom section that claims a gigabyte in a file of 30 bytes.
(assert_malformed (module binary "\00asm\01\00\00\00" "\00\80\80\80\80\04" "\0ftocsin.manifest") "length out of bounds")
