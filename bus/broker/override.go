package broker

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/mycelium-bus/mycelium/bus/topic"
)

var (
	sizeType     = reflect.TypeFor[topic.Size]()
	durationType = reflect.TypeFor[topic.Duration]()
)

// isNumber reports whether a field takes a plain number.
func isNumber(field reflect.Value) bool {
	return field.Kind() == reflect.Int || field.Type() == sizeType
}

// wanted says what a field takes, for people.
func wanted(field reflect.Value) string {
	switch {
	case field.Type() == sizeType:
		return `a size like "16MiB"`
	case field.Kind() == reflect.Int:
		return "a whole number"
	case field.Kind() == reflect.Bool, field.Kind() == reflect.Pointer:
		return "true or false"
	}
	return "text in quotes"
}

// setText stores what text says in the field that a key names, or notes why it cannot. A topic's own zero would be taken for a key that is
// not there, and give the default.
func (p *parser) setText(path, text string, field reflect.Value) {
	if err := setText(field, text); err != nil {
		p.fault(path, "%v", err)
	} else if strings.HasPrefix(path, "topic.") && (isNumber(field) || field.Type() == durationType) && field.IsZero() {
		p.fault(path, "%s is out of its range; leave the key out for the default", text)
	}
}

// setText stores what text says in a field of any kind that a configuration has.
func setText(field reflect.Value, text string) error {
	if u, ok := field.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			return fmt.Errorf("%s", strings.TrimPrefix(err.Error(), topic.ErrInvalid.Error()+": "))
		}
		return nil
	}
	switch field.Kind() {
	case reflect.String:
		field.SetString(text)
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		field.SetInt(int64(n))
	case reflect.Bool:
		v, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is not true or false", text)
		}
		field.SetBool(v)
	case reflect.Pointer:
		target := reflect.New(field.Type().Elem())
		if err := setText(target.Elem(), text); err != nil {
			return err
		}
		field.Set(target)
	case reflect.Slice:
		return setList(field, text)
	default:
		return fmt.Errorf("%q: a whole table cannot be set this way", text)
	}
	return nil
}

// setList takes items between commas; "" is the empty list.
func setList(field reflect.Value, text string) error {
	if field.Type().Elem().Kind() != reflect.String {
		return fmt.Errorf("%q: tables cannot be set this way", text)
	}
	items := []string{}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	field.Set(reflect.ValueOf(items))
	return nil
}

// environment applies the variables that begin with MYC_BROKER_ or MYC_TOPIC_, each of which must mean a key.
func (p *parser) environment(c *Config, env []string) {
	for _, variable := range slices.Sorted(slices.Values(env)) {
		name, value, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, "MYC_BROKER_") && !strings.HasPrefix(name, "MYC_TOPIC_") {
			continue
		}
		targets := targetsOf(c, name)
		switch len(targets) {
		case 0:
			p.faults = append(p.faults, &Fault{Key: name, Text: "it overrides no key: there is no such table, topic, group or key"})
		case 1:
			p.overridden[targets[0].path] = name
			// What the file has wrong no longer matters.
			p.faults = slices.DeleteFunc(p.faults, func(f *Fault) bool { return f.path == targets[0].path })
			p.setText(targets[0].path, value, targets[0].field)
		default:
			p.faults = append(p.faults, &Fault{Key: name, Text: fmt.Sprintf("it could mean %s or %s", targets[0].path, targets[1].path)})
		}
	}
}

// target is a key that a variable may mean.
type target struct {
	path  string
	field reflect.Value
}

// targetsOf lists the keys whose variable has this name: none, one, or several where names differ in characters that are
// all _ in a variable.
func targetsOf(c *Config, name string) []target {
	var found []target
	add := func(prefix, path string, table reflect.Value) {
		for _, key := range keysOf(table.Type()) {
			if prefix+variableName(key) == name {
				found = append(found, target{path + "." + key, fieldOf(table, key)})
			}
		}
	}
	add("MYC_BROKER_", "broker", reflect.ValueOf(c).Elem())
	for i := range c.Topics {
		t := &c.Topics[i]
		prefix, path := "MYC_TOPIC_"+variableName(t.Name)+"_", "topic."+strconv.Itoa(i)
		add(prefix, path, reflect.ValueOf(t).Elem())
		for j := range t.Group {
			g := &t.Group[j]
			add(prefix+"GROUP_"+variableName(g.Name)+"_", path+".group."+strconv.Itoa(j), reflect.ValueOf(g).Elem())
		}
	}
	return found
}

// variableName writes a key or a name as it stands in a variable: capitals, digits and _.
func variableName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		}
		return '_'
	}, s)
}
