package codec

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

const formatPage = "../docs/reference/message-format.md"

// The page's tables are made from the registry, the layouts and the comments of the structs' fields. -update writes
// them.
func TestThePageHasTheRegistryAndTheLayouts(t *testing.T) {
	page, err := os.ReadFile(formatPage)
	if err != nil {
		t.Fatal(err)
	}
	want := page
	for name, table := range map[string]string{
		"registry": registryTable(), "structs": structTables(t), "profiles": profileTable(), "goldens": goldenTable(t),
	} {
		begin, end := []byte("<!-- "+name+": made by codec's tests -->\n"), []byte("<!-- end of "+name+" -->\n")
		before, rest, ok := bytes.Cut(want, begin)
		_, after, ok2 := bytes.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s has no place for %s", formatPage, name)
		}
		want = bytes.Join([][]byte{before, begin, []byte("\n" + table + "\n"), end, after}, nil)
	}
	if *update {
		if err := os.WriteFile(formatPage, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(page, want) {
		t.Errorf("%s does not say what the code does: run go test ./codec -run Page -update and look at the difference", formatPage)
	}
}

func registryTable() string {
	var b strings.Builder
	b.WriteString("| type | name | declared length | struct | domain |\n|---|---|---|---|---|\n")
	for _, i := range Types() {
		length := map[Class]string{Fixed: fmt.Sprint(i.Min), Bounded: fmt.Sprintf("%d to %d", i.Min, i.Max), Variable: "any"}[i.Class]
		size := "-"
		if i.StructSize > 0 {
			size = fmt.Sprint(i.StructSize)
		}
		switch i.Type {
		case TypeQuote, TypeQuoteUpdate:
			size += ", 52 accepted"
		case TypeSnapshot:
			size += " and a body"
		}
		if i.StructSize > 0 && (i.StructSize < i.Min || i.StructSize > i.Max) {
			size = "**" + size + "**"
		}
		var domains []string
		for d := range DomainSystem + 1 {
			if DomainsEither.Admits(i.Type, d) {
				domains = append(domains, d.String())
			}
		}
		domain := strings.Join(domains, ", ")
		if len(domains) == 4 {
			domain = "any"
		}
		fmt.Fprintf(&b, "| %d | %v | %s | %s | %s |\n", uint8(i.Type), i.Type, length, size, domain)
	}
	return b.String()
}

func structTables(t *testing.T) string {
	comments := fieldComments(t)
	var b strings.Builder
	for _, typ := range structTypes {
		name, title := typ.String(), fmt.Sprintf("%d %v", uint8(typ), typ)
		switch typ {
		case TypeQuoteUpdate, TypePoolBurn:
			continue
		case TypeQuote:
			title += " and 17 QuoteUpdate"
		case TypePoolMint:
			title += " and 13 PoolBurn"
		}
		fmt.Fprintf(&b, "**%s** (%d bytes)\n\n| offset | field | type | unit |\n|---|---|---|---|\n", title, registry[typ].StructSize)
		for _, l := range layouts[typ] {
			unit := comments[name][goName(l.name)]
			if unit == "" && hasInstrument(typ) {
				unit = comments["Instrument"][goName(l.name)]
			}
			fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", l.off, l.name, readingName(l.as), unit)
		}
		b.WriteByte('\n')
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func hasInstrument(t Type) bool {
	v := reflect.ValueOf(newStruct(t)).Elem()
	return v.Kind() == reflect.Struct && v.FieldByName("Instrument").IsValid()
}

// readingName is the wire's type of a field, from the name of the function that reads it.
func readingName(r reading) string {
	f := runtime.FuncForPC(reflect.ValueOf(r).Pointer()).Name()
	name := f[strings.LastIndex(f, ".as")+3:]
	switch name {
	case "E8":
		return "i64"
	case "Asset":
		return "u64"
	case "Venue":
		return "u16"
	case "AssetType", "Side", "PoolType", "Health", "Reason":
		return "u8"
	case "Address":
		return "20 bytes"
	case "Hex2", "Hex8", "Hex20":
		return name[3:] + " bytes"
	case "Text":
		return "all that is left"
	case "Levels":
		return "count u16, 6 bytes padding, 50 levels"
	case "Reserves":
		return "count u16, 14 bytes padding, 8 u128"
	case "Instruments":
		return "count u16, 6 bytes padding, 16 instruments"
	}
	return strings.ToLower(name)
}

// fieldComments are the comments behind the fields of this package's structs.
func fieldComments(t *testing.T) map[string]map[string]string {
	all := map[string]map[string]string{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				all[spec.Name.Name] = map[string]string{}
				for _, field := range s.Fields.List {
					for _, id := range field.Names {
						all[spec.Name.Name][id.Name] = strings.TrimSpace(field.Comment.Text())
					}
				}
			}
			return true
		})
	}
	return all
}

func profileTable() string {
	var b strings.Builder
	b.WriteString("| profile | domain | longest message | domain byte | checksum | lengths | types | extended form | age, ahead | gap |\n" +
		"|---|---|---|---|---|---|---|---|---|---|\n")
	for p := ProfileLenient; p <= ProfileDevelopment; p++ {
		for d := range DomainSystem + 1 {
			r := RulesFor(p, d)
			pick := func(i uint8, names ...string) string { return names[i] }
			size, types, form, age, gap := "1 MiB", "any", "accepted", "any", "counted"
			if r.MaxSize > 0 {
				size = fmt.Sprint(r.MaxSize)
			}
			if r.Types {
				types = "the domain's, 60-79 " + pick(uint8(r.Domains), "either", "signal", "execution")
			}
			if r.Sources {
				types += "; source 1-100"
			}
			if r.NoExtended {
				form = "refused"
			}
			if r.MaxAge > 0 {
				age = fmt.Sprintf("%v, %v", r.MaxAge, r.MaxAhead)
			}
			if r.MaxGap > 0 {
				gap = fmt.Sprint(r.MaxGap)
			}
			fmt.Fprintf(&b, "| %s | %v | %s | %s | %s | %s | %s | %s | %s | %s |\n",
				pick(uint8(p), "lenient", "relay", "default", "production", "development"), d, size,
				pick(uint8(r.Byte), "0 to 4", "the domain's, either numbering", "any"),
				pick(uint8(r.Checksum), "if present", "required", "not looked at"),
				pick(uint8(r.Sizes), "structs", "fixed", "registry", "not looked at"), types, form, age, gap)
		}
	}
	return b.String()
}

func goldenTable(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| file | bytes | checksum | TLVs |\n|---|---|---|---|\n")
	for _, g := range goldens() {
		m := must(Parse(g.build(t)))
		var tlvs []string
		for c := m.Cursor(); c.Next(); {
			form := ""
			if c.Extended {
				form = ", extended"
			}
			tlvs = append(tlvs, fmt.Sprintf("%v (%d%s)", c.Type, len(c.Value), form))
		}
		crc := "absent"
		if m.HasChecksum() {
			crc = fmt.Sprintf("%08x", m.Header().Checksum)
		}
		name := g.name
		if _, ok := vectors[name]; ok {
			name += " (a vector)"
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %s |\n", name, len(m.Bytes()), crc, strings.Join(tlvs, ", "))
	}
	return b.String()
}
