//go:build !stepped

#include "textflag.h"

// func FenceStores()
TEXT ·FenceStores(SB), NOSPLIT, $0-0
	DMB	$0xb // ISH
	RET

// func FenceLoads()
TEXT ·FenceLoads(SB), NOSPLIT, $0-0
	DMB	$0x9 // ISHLD
	RET
