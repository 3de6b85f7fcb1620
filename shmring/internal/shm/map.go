package shm

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Memory is a piece of mapped (or, in tests, heap) memory of fixed length. Its zero value is empty.
type Memory struct {
	b      []byte
	mapped bool
	write  bool // and writable
}

// Heap returns n bytes of ordinary Go memory that start at a multiple of 4096, for tests under the race detector.
func Heap(n int) Memory {
	const page = 4096
	b := make([]byte, n+page)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (page - 1)
	return Memory{b: b[skip : skip+n : skip+n]}
}

// Map maps the first n bytes of the open file fd, shared, readable and, if write is set, writable. The descriptor may be
// closed afterwards. The pages are left out of core dumps and are not inherited by a forked child (madvise(2),
// MADV_DONTDUMP and MADV_DONTFORK).
func Map(fd int, n int64, write bool) (Memory, error) {
	if n <= 0 || int64(int(n)) != n {
		return Memory{}, fmt.Errorf("map %d bytes: size out of range", n)
	}
	prot := unix.PROT_READ
	if write {
		prot |= unix.PROT_WRITE
	}
	b, err := unix.Mmap(fd, 0, int(n), prot, unix.MAP_SHARED)
	if err != nil {
		return Memory{}, os.NewSyscallError("mmap", err)
	}
	// Both are wishes: an old kernel that knows neither still has a working mapping.
	_ = unix.Madvise(b, unix.MADV_DONTDUMP)
	_ = unix.Madvise(b, unix.MADV_DONTFORK)
	return Memory{b: b, mapped: true, write: write}, nil
}

// Mapped tells mapped memory from heap memory.
func (m Memory) Mapped() bool { return m.mapped }

// Len returns the memory's size in bytes.
func (m Memory) Len() int { return len(m.b) }

// Bytes returns n bytes at off, as a view: it lives as long as the mapping. It panics when they are not inside, which is
// the caller's mistake: offsets are checked when a file is opened.
func (m Memory) Bytes(off, n uint64) []byte { return m.b[off : off+n : off+n] }

// Word returns the 64-bit word at off. It panics when off is not a multiple of 8 or not inside.
func (m Memory) Word(off uint64) *Word {
	if off&7 != 0 {
		panic("shm: misaligned word")
	}
	return (*Word)(unsafe.Pointer(unsafe.SliceData(m.b[off : off+8])))
}

// Word32 returns the 32-bit word at off. It panics when off is not a multiple of 8 or not inside.
func (m Memory) Word32(off uint64) *Word32 {
	if off&7 != 0 {
		panic("shm: misaligned word")
	}
	return (*Word32)(unsafe.Pointer(unsafe.SliceData(m.b[off : off+8])))
}

// Area returns the size bytes at off as an area whose positions wrap. Size is a power of two, off a multiple of 8.
func (m Memory) Area(off, size uint64) Area {
	if size == 0 || size&(size-1) != 0 || off&7 != 0 {
		panic("shm: area is not a power of two, or misaligned")
	}
	return Area{base: unsafe.Pointer(unsafe.SliceData(m.b[off : off+size])), mask: size - 1}
}

// Populate faults the pages of [off, off+n) in, for writing or for reading (madvise(2), MADV_POPULATE_WRITE and _READ, since
// Linux 5.14), so that the first access does not pay for it. It is a wish: where the kernel cannot, the pages come one by one.
func (m Memory) Populate(off, n uint64, write bool) {
	if !m.mapped || off >= uint64(len(m.b)) {
		return
	}
	const page = 4096
	end := min((off+n+page-1)&^(page-1), uint64(len(m.b)))
	off &^= page - 1
	advice := unix.MADV_POPULATE_READ
	if write {
		advice = unix.MADV_POPULATE_WRITE
	}
	_ = unix.Madvise(m.b[off:end], advice)
}

// Touch reads a word of each page of [off, off+n), after Populate. A virtual machine's host may keep page tables of its own, which a
// populated page is not in before its first access: that took 5 to 9 us a page, an access after Touch 0.2 us
// (docs/performance.md). Whoever calls it is ready for a fault: another process may cut the file short.
func (m Memory) Touch(off, n uint64) {
	const page = 4096
	for end := min(off+n, uint64(len(m.b))); m.mapped && off+8 <= end; off = off&^(page-1) + page {
		m.Word(off &^ 7).Load() // order: none, the value does not matter.
	}
}

// TouchEnd loads the memory's last word, which faults if the file was cut short before it. A cut amid a page makes zeros of the page's rest
// and no fault: who has looked at a page looks at the end as well, and knows then that nothing before it was cut, but for the last page's
// own rest. It costs a load; unmapped memory has no end that could be missing.
func (m Memory) TouchEnd() {
	if m.mapped {
		m.Word(uint64(len(m.b)) - 8).Peek() // order: none, the value does not matter.
	}
}

// Retire gives the memory behind the mapping back and leaves PROT_NONE in its place, for ever: a stale look faults instead
// of reading somebody else's bytes. The address space is not reused.
func (m Memory) Retire() error {
	if !m.mapped {
		return nil
	}
	addr := unsafe.Pointer(unsafe.SliceData(m.b))
	_, err := unix.MmapPtr(-1, 0, addr, uintptr(len(m.b)), unix.PROT_NONE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE|unix.MAP_FIXED)
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	return nil
}

// Contains reports whether addr lies in the memory.
func (m Memory) Contains(addr uintptr) bool {
	base := uintptr(unsafe.Pointer(unsafe.SliceData(m.b)))
	return addr >= base && addr-base < uintptr(len(m.b))
}

// Area is memory whose size is a power of two, addressed by positions that only grow: the byte at position p sits at
// p & (size-1). Its methods check nothing; whoever calls them has checked that [p, p+n) does not cross the end.
type Area struct {
	base unsafe.Pointer
	mask uint64
}

// Holds reports whether b lies in the area. An empty b lies in none.
func (a *Area) Holds(b []byte) bool {
	return len(b) != 0 && uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))-uintptr(a.base)) <= a.mask
}

// Word returns the word at position p, which is a multiple of 8.
func (a *Area) Word(p uint64) *Word { return (*Word)(unsafe.Add(a.base, p&a.mask)) }

// Bytes returns n bytes from position p on, as a view. [p, p+n) must not cross the end of the area.
func (a *Area) Bytes(p, n uint64) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(a.base, p&a.mask)), n)
}
