//go:build linux

#include "textflag.h"

// Layout of Shield, see shield.go.
#define shieldSize 56
#define shieldSpans 8
#define spanSize 16
#define shieldMemories 3
#define maxShields 1024

// Of the kernel's uapi: asm-generic/siginfo.h, asm-generic/mman-common.h, asm/unistd_64.h.
#define SIGINFO_CODE 8
#define SIGINFO_ADDR 16
#define BUS_ADRERR 2
#define SYS_mmap 9
#define PROT_READ_WRITE 3
#define MAP_PRIVATE_FIXED_ANONYMOUS 0x32

// busError is the handler of SIGBUS. The kernel calls it as a C function (System V ABI) on the thread's signal stack: the signal in DI,
// its siginfo in SI, the interrupted context in DX, the restorer as the return address. It may interrupt any instruction of the
// process. So it knows of no g, calls no Go and takes no lock: it looks at the shields, which are in the program's data, and executes
// one system call.
//
// It changes only registers that a C function may change, and even those do not matter to who was interrupted: sigreturn(2) restores
// all registers and flags, those of the vector unit too, and the faulting instruction is executed again. The red zone below the
// interrupted stack pointer is not touched, since this is another stack. All signals are blocked meanwhile (the runtime's mask), and
// nothing here can fault: siginfo lies on this stack.
//
// A signal that is no shield's goes to the handler that was there before, by a jump, with arguments and stack as the kernel left them.
TEXT ·busError<>(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	NOP	SP	// disable vet stack checking
	PUSHQ	DI
	PUSHQ	SI
	PUSHQ	DX
	CMPL	SIGINFO_CODE(SI), $BUS_ADRERR	// a page that is not there; a kill(2) has another code, and no address
	JNE	next
	MOVQ	SIGINFO_ADDR(SI), DI
	LEAQ	·shields(SB), R8
	LEAQ	(maxShields*shieldSize)(R8), R9
shield:
	LEAQ	shieldSpans(R8), R10
	XORL	CX, CX	// which memory
span:
	MOVQ	(R10), AX	// base, size, base: loads stay in order
	TESTQ	AX, AX
	JZ	skip
	MOVQ	8(R10), DX
	CMPQ	AX, (R10)
	JNE	skip
	MOVQ	DI, SI
	SUBQ	AX, SI
	CMPQ	SI, DX
	JCS	found
skip:
	ADDQ	$spanSize, R10
	INCL	CX
	CMPL	CX, $shieldMemories
	JNE	span
	ADDQ	$shieldSize, R8
	CMPQ	R8, R9
	JNE	shield
next:
	POPQ	DX
	POPQ	SI
	POPQ	DI
	MOVQ	·busErrorNext(SB), AX
	JMP	AX
found:
	MOVB	$1, (R8)(CX*1)	// Shield.cut, before the page: who finds its zeros finds this too
	MOVQ	·busErrorPage(SB), SI
	MOVQ	SI, AX
	NEGQ	AX
	ANDQ	AX, DI	// the page's begin
	MOVL	$PROT_READ_WRITE, DX
	MOVL	$MAP_PRIVATE_FIXED_ANONYMOUS, R10
	MOVQ	$-1, R8
	XORL	R9, R9
	MOVL	$SYS_mmap, AX
	SYSCALL
	CMPQ	AX, $-4095
	JCC	next	// an errno: no memory, or no more mappings
	ADDQ	$24, SP
	RET

// func busErrorPC() uintptr
TEXT ·busErrorPC(SB), NOSPLIT, $0-8
	LEAQ	·busError<>(SB), AX
	MOVQ	AX, ret+0(FP)
	RET
