//go:build linux

#include "textflag.h"

// Layout of Shield, see shield.go.
#define shieldSize 56
#define shieldSpans 8
#define spanSize 16
#define shieldMemories 3
#define maxShields 1024

// Of the kernel's uapi: asm-generic/siginfo.h, asm-generic/mman-common.h, asm-generic/unistd.h.
#define SIGINFO_CODE 8
#define SIGINFO_ADDR 16
#define BUS_ADRERR 2
#define SYS_mmap 222
#define PROT_READ_WRITE 3
#define MAP_PRIVATE_FIXED_ANONYMOUS 0x32

// busError is the handler of SIGBUS; shield_amd64.s says what holds for both. The kernel calls it as a C function (AAPCS64): the signal
// in R0, its siginfo in R1, the interrupted context in R2, the restorer in LR. Only R3 to R15 are changed, which a C function may
// change; R27, which Go's assembler takes for addresses of data unless they are loaded as here, and R28, Go's g, are not. A system call
// changes R0 alone. There is no red zone, and no stack is used.
TEXT ·busError<>(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVD	R0, R13
	MOVD	R1, R14
	MOVD	R2, R15
	MOVW	SIGINFO_CODE(R1), R3
	CMPW	$BUS_ADRERR, R3	// a page that is not there; a kill(2) has another code, and no address
	BNE	next
	MOVD	SIGINFO_ADDR(R1), R3
	MOVD	$·shields(SB), R4
	MOVD	$maxShields, R5
shield:
	ADD	$shieldSpans, R4, R6
	MOVD	ZR, R7	// which memory
span:
	LDAR	(R6), R8	// base, size, base, in this order
	CBZ	R8, skip
	ADD	$8, R6, R9
	LDAR	(R9), R10
	LDAR	(R6), R9
	CMP	R8, R9
	BNE	skip
	SUB	R8, R3, R11
	CMP	R10, R11
	BLO	found
skip:
	ADD	$spanSize, R6
	ADD	$1, R7
	CMP	$shieldMemories, R7
	BNE	span
	ADD	$shieldSize, R4
	SUB	$1, R5
	CBNZ	R5, shield
next:
	MOVD	R13, R0
	MOVD	R14, R1
	MOVD	R15, R2
	MOVD	$·busErrorNext(SB), R3
	MOVD	(R3), R3
	B	(R3)
found:
	MOVD	$1, R8
	MOVB	R8, (R4)(R7)	// Shield.cut
	DMB	$0xb	// ISH: before the page: who finds its zeros finds this too
	MOVD	$·busErrorPage(SB), R1
	MOVD	(R1), R1
	NEG	R1, R8
	AND	R8, R3, R0	// the page's begin
	MOVD	$PROT_READ_WRITE, R2
	MOVD	$MAP_PRIVATE_FIXED_ANONYMOUS, R3
	MOVD	$-1, R4
	MOVD	ZR, R5
	MOVD	$SYS_mmap, R8
	SVC
	CMN	$4095, R0
	BHS	next	// an errno: no memory, or no more mappings
	RET

// func busErrorPC() uintptr
TEXT ·busErrorPC(SB), NOSPLIT, $0-8
	MOVD	$·busError<>(SB), R0
	MOVD	R0, ret+0(FP)
	RET
