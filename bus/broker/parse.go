package broker

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/mycelium-bus/mycelium/bus/topic"
)

// Load reads the configuration file at path, with overrides from env (as of os.Environ). See [Parse]. It also looks whether this host
// knows the users and groups that are named.
func Load(path string, env []string) (Config, error) {
	doc, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("read the configuration: %w", err)
	}
	return parse(string(doc), path, env, newRights(systemAccounts{}).faults)
}

// Parse reads a configuration in TOML and applies the overrides in env: MYC_BROKER_ and a key of the table [broker]; MYC_TOPIC_,
// a topic's name and a key of its table; MYC_TOPIC_name_GROUP_name_key for one of its groups. They are in capitals, with _ for
// every character that is neither letter nor digit; lists have commas. A key that does not exist, a value of the wrong type or
// out of its range: every fault is found at once, and returned as an error that joins a [*Fault] each, with its line. File
// names the document there. An empty document is [Defaults]; one that has any [[topic]] has only its own.
//
// It asks nobody: whether the users and groups that are named exist is [Load]'s to look, and [New]'s.
func Parse(doc, file string, env []string) (Config, error) {
	return parse(doc, file, env, func(Config) []*Fault { return nil })
}

// parse is Parse with more to check.
func parse(doc, file string, env []string, more func(Config) []*Fault) (Config, error) {
	c := withoutTopics()
	root := map[string]any{}
	if _, err := toml.Decode(doc, &root); err != nil {
		return Config{}, syntaxFault(err, file)
	}
	p := &parser{lines: keyLines(doc), overridden: map[string]string{}}
	p.document(root, &c)
	if root["topic"] == nil {
		c.Topics = topic.Builtin()
	}
	p.environment(&c, env)
	// What could not be read kept its default, so the rest can be checked all the same.
	for _, f := range append(c.faults(), more(c)...) {
		if !slices.ContainsFunc(p.faults, func(g *Fault) bool { return g.path == f.path }) {
			p.faults = append(p.faults, f)
		}
	}
	return c, p.result(file)
}

func syntaxFault(err error, file string) error {
	if e, ok := errors.AsType[toml.ParseError](err); ok {
		return &Fault{File: file, Line: e.Position.Line, Text: e.Message}
	}
	return &Fault{File: file, Text: err.Error()}
}

// parser goes through the decoded document itself, instead of having the library fill the structs, because the library
// stops at the first wrong type.
type parser struct {
	lines      map[string]int
	overridden map[string]string // path of a key: the variable that set it
	faults     []*Fault
}

func (p *parser) fault(path, format string, args ...any) {
	p.faults = append(p.faults, &Fault{Key: keyOf(path), path: path, Text: fmt.Sprintf(format, args...)})
}

// keyOf is a path without the numbers of tables: what a reader of the file looks for.
func keyOf(path string) string {
	parts := slices.DeleteFunc(strings.Split(path, "."), func(part string) bool {
		_, err := strconv.Atoi(part)
		return err == nil
	})
	return strings.Join(parts, ".")
}

// result gives the faults their lines and their order.
func (p *parser) result(file string) error {
	for _, f := range p.faults {
		if name, ok := p.overridden[f.path]; ok {
			f.Key = name
		} else if f.path != "" {
			f.File, f.Line = file, p.line(f.path)
		}
	}
	slices.SortStableFunc(p.faults, func(a, b *Fault) int { return a.Line - b.Line })
	var errs []error
	for _, f := range p.faults {
		errs = append(errs, f)
	}
	return errors.Join(errs...)
}

// line finds the key, or the nearest table around it.
func (p *parser) line(path string) int {
	// Package topic says that a group's key is wrong, not which group's: the first that has the key.
	if before, key, ok := strings.Cut(path, ".group."); ok && keyOf(path) == keyOf(before)+".group."+key {
		for i := range topic.MaxGroups {
			if n := p.lines[fmt.Sprintf("%s.group.%d.%s", before, i, key)]; n > 0 {
				return n
			}
		}
	}
	for path != "" {
		if n := p.lines[path]; n > 0 {
			return n
		}
		path = path[:max(0, strings.LastIndexByte(path, '.'))]
	}
	return 0
}

// document reads the two kinds of tables that there are.
func (p *parser) document(root map[string]any, c *Config) {
	for key, v := range root {
		table, isTable := v.(map[string]any)
		switch {
		case key == "broker" && isTable:
			p.table(key, table, reflect.ValueOf(c).Elem())
		case key == "broker":
			p.fault(key, "it is a table: write [broker] on a line of its own")
		case key == "topic":
			p.set(key, v, reflect.ValueOf(&c.Topics).Elem())
		default:
			p.fault(key, "unknown key; there are [broker] and [[topic]]")
		}
	}
}

// table fills the fields of a struct from the keys of a table.
func (p *parser) table(path string, m map[string]any, into reflect.Value) {
	for key, v := range m {
		field := fieldOf(into, key)
		if !field.IsValid() {
			p.fault(path+"."+key, "unknown key; the keys of %s are %s", keyOf(path), strings.Join(keysOf(into.Type()), ", "))
			continue
		}
		p.set(path+"."+key, v, field)
	}
}

// keysOf lists the keys of a table in the order of the struct.
func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("toml"); key != "-" {
			keys = append(keys, key)
		}
	}
	return keys
}

func fieldOf(into reflect.Value, key string) reflect.Value {
	for i := range into.NumField() {
		if tag := into.Type().Field(i).Tag.Get("toml"); tag == key && key != "-" {
			return into.Field(i)
		}
	}
	return reflect.Value{}
}

// set stores a decoded value in a field, or notes why it cannot.
func (p *parser) set(path string, v any, field reflect.Value) {
	switch field.Kind() {
	case reflect.Slice:
		p.setSlice(path, v, field)
	case reflect.Struct:
		if m, ok := v.(map[string]any); ok {
			p.table(path, m, field)
		} else {
			p.fault(path, "%v is not a table", v)
		}
	default:
		text, ok := v.(string)
		switch v := v.(type) {
		case int64:
			text, ok = strconv.FormatInt(v, 10), isNumber(field)
		case bool:
			text, ok = strconv.FormatBool(v), wanted(field) == "true or false"
		case string:
			ok = !isNumber(field) || field.Type() == sizeType
			ok = ok && wanted(field) != "true or false"
		}
		if !ok {
			p.fault(path, "%v is not %s", v, wanted(field))
			return
		}
		p.setText(path, text, field)
	}
}

func (p *parser) setSlice(path string, v any, field reflect.Value) {
	items, ok := v.([]any)
	if tables, is := v.([]map[string]any); is {
		ok = true
		for _, t := range tables {
			items = append(items, t)
		}
	}
	if !ok && field.Type().Elem().Kind() == reflect.Struct {
		p.fault(path, "it is an array of tables: write [[%s]] on a line of its own for each", keyOf(path))
		return
	}
	if !ok {
		p.fault(path, `%v is not a list; write ["%v"]`, v, v)
		return
	}
	field.Set(reflect.MakeSlice(field.Type(), len(items), len(items)))
	for i, item := range items {
		p.set(fmt.Sprintf("%s.%d", path, i), item, field.Index(i))
	}
}
