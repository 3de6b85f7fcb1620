package main

// models in the order of the table. Each stands in a file of its name.
var models = []model{openClaims, gates, join, joinTSO, padFirst, drop, rejoin, group, groupTenants, groupLost, groupKeep, adopt, sleep, repair, ring}

// model is a question, and the variants of the protocol that it is put to.
type model struct {
	name     string
	question string
	variants []variant
}

// variant is a model with its choices made.
type variant struct {
	name  string
	wrong bool // a mistake made on purpose: the model must find it
	least bounds
	run   func(b bounds) result
}

// bounds say how large the instances are.
type bounds int

const (
	quick bounds = iota // seconds in all: go test
	full                // minutes: make model
	deep                // make model FULL=1
)

// pick returns the one of three sizes that the bounds ask for.
func (b bounds) pick(sizes ...int8) int8 { return sizes[min(int(b), len(sizes)-1)] }
