package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// trace finds the way from a start to the fault: the hashes backwards, then the steps forwards.
func (e *explorer[S]) trace() []string {
	way := []uint64{e.at}
	for at := e.at; e.seen.from(at) != at; at = way[len(way)-1] {
		way = append(way, e.seen.from(at))
	}
	slices.Reverse(way)
	var s S
	for _, s = range e.start {
		if e.hash(&s) == way[0] {
			break
		}
	}
	var lines []string
	line := func(p int, name string, next S) {
		lines = append(lines, fmt.Sprintf("%3d. %s %s%s", len(lines)+1, e.procs[p].name, name, changes(s, next)))
	}
	for _, h := range way[1:] {
		for p := range e.procs {
			next := s
			if name := e.procs[p].step(&next); name != "" && e.hash(&next) == h {
				line(p, name, next)
				s = next
				break
			}
		}
	}
	if e.badProc >= 0 {
		next := s
		name := e.procs[e.badProc].step(&next)
		line(e.badProc, name, next)
	}
	return lines
}

// changes names the fields that differ between two states. A program counter (pc) is left out: the step's name says it.
func changes[S any](a, b S) string {
	var all []string
	differ("", reflect.ValueOf(a), reflect.ValueOf(b), &all)
	if len(all) == 0 {
		return ""
	}
	return "  [" + strings.Join(all, ", ") + "]"
}

func differ(name string, a, b reflect.Value, all *[]string) {
	switch {
	case a.Kind() == reflect.Struct:
		for i := range a.NumField() {
			if field := a.Type().Field(i).Name; field != "pc" {
				differ(strings.TrimPrefix(name+"."+field, "."), a.Field(i), b.Field(i), all)
			}
		}
	case a.Kind() == reflect.Array:
		for i := range a.Len() {
			differ(fmt.Sprintf("%s[%d]", name, i), a.Index(i), b.Index(i), all)
		}
	case !a.Equal(b):
		*all = append(*all, fmt.Sprintf("%s %v→%v", name, a, b))
	}
}
