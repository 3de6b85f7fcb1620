#include "textflag.h"

// func FenceStores()
TEXT ·FenceStores(SB), NOSPLIT, $0-0
	DMB	$0xb // ISH
	RET

// func FenceLoads()
TEXT ·FenceLoads(SB), NOSPLIT, $0-0
	DMB	$0x9 // ISHLD
	RET

// func pause(n uint32)
TEXT ·pause(SB), NOSPLIT, $0-4
	MOVWU	n+0(FP), R0
again:
	YIELD
	SUBW	$1, R0
	CBNZ	R0, again
	RET
