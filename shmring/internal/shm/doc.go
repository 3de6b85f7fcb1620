// Package shm answers: how do we touch memory that other processes map?
//
// It holds every use of unsafe and assembly in the project, and no protocol: mapped memory and its bounds ([Memory],
// [Area]), words with a stated order ([Word], [Word32]), PAUSE, fences, OFD locks and the kernel calls around mappings, and what
// becomes of an access to a page that is gone: a panic that is an error ([Guard]), or zeros and a word that says so ([Shield]).
// What the words mean is decided in package shmring.
//
// Orders, and what they cost:
//
//	Load           acquire; a plain MOV on amd64, LDAR on arm64
//	Store          sequentially consistent: later loads of this thread come after it; XCHG on amd64 (drains the store buffer)
//	StoreRelease   earlier stores and loads come before it; a plain MOV on amd64, STLR on arm64
//	StoreRelaxed   no order of its own; a word that only this process interprets, or that a later release publishes
//	CompareAndSwap sequentially consistent; LOCK CMPXCHG on amd64
//
// On amd64 StoreRelease is an ordinary Go store, so that it inlines: an assembly call costs as much again as the whole
// commit. Go's memory model does not promise that the compiler keeps two ordinary stores in program order (today's does),
// so TestStampIsTheLastStore in package shmring disassembles the commits. Builds with the race detector use atomic stores.
package shm
