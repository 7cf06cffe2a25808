package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"rotunda"
)

// entriesMax bounds the entries of one list or map.
const entriesMax = 256

// YAML is c as a configuration file, without what is not set.
func (c Config) YAML() ([]byte, error) { return yaml.MarshalWithOptions(c, yaml.OmitZero()) }

// decode walks the file's syntax tree itself instead of unmarshalling it: a decoder stops at the first problem, and has
// forgotten the lines by the time the values are checked.
func (l *loader) decode(data []byte) {
	l.lines = strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
	root, problem := parse(data)
	if problem != nil {
		l.add("", problem.token, "%s", problem.text)
		return
	}
	if root == nil {
		return
	}
	l.section("", root)
}

// syntaxProblem is what keeps a text from being YAML.
type syntaxProblem struct {
	token *token.Token // nil: unknown
	text  string
}

// parse returns the one document in data, nil when that is empty.
func parse(data []byte) (ast.Node, *syntaxProblem) {
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var bad *yaml.SyntaxError
		if errors.As(err, &bad) {
			return nil, &syntaxProblem{bad.Token, bad.Message}
		}
		return nil, &syntaxProblem{nil, "not YAML"}
	}
	if len(file.Docs) > 1 {
		return nil, &syntaxProblem{file.Docs[1].GetToken(), "more than one document"}
	}
	if len(file.Docs) == 0 {
		return nil, nil
	}
	return file.Docs[0].Body, nil
}

// section reads a mapping whose keys are settings or sections of settings.
func (l *loader) section(prefix string, node ast.Node) {
	switch node.(type) {
	case *ast.NullNode, *ast.CommentGroupNode:
		return
	}
	seen := map[string]bool{}
	for _, entry := range l.entries(strings.TrimSuffix(prefix, "."), node) {
		name := entry.Key.GetToken().Value
		key := prefix + name
		switch value, known := l.fields[key]; {
		case seen[key]:
			l.add(key, entry.Key.GetToken(), "given twice")
		case known:
			if l.value(key, value, entry.Value) {
				l.mark(key, entry.Value.GetToken())
			}
		case prefix == "" && l.sections[name]:
			l.mark(key, entry.Key.GetToken())
			l.section(name+".", entry.Value)
		default:
			l.add(key, entry.Key.GetToken(), "unknown key%s", meant(nearest(name, l.known(prefix))))
		}
		seen[key] = true
	}
}

// known lists what may stand in a section.
func (l *loader) known(prefix string) []string {
	var names []string
	for key := range l.fields {
		if rest, ok := strings.CutPrefix(key, prefix); ok && !strings.Contains(rest, ".") {
			names = append(names, rest)
		}
	}
	if prefix == "" {
		names = slices.AppendSeq(names, maps.Keys(l.sections))
	}
	slices.Sort(names)
	return names
}

// entries are the keys and values of a mapping; of anything else a problem, and none.
func (l *loader) entries(key string, node ast.Node) []*ast.MappingValueNode {
	switch node := node.(type) {
	case *ast.MappingNode:
		if len(node.Values) > entriesMax {
			l.add(key, node.GetToken(), "%d entries, more than %d", len(node.Values), entriesMax)
			return nil
		}
		return node.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{node}
	}
	l.add(key, node.GetToken(), "%s, want keys with values", kindOf(node))
	return nil
}

// value reads node into the setting; it reports whether there was a value.
func (l *loader) value(key string, into reflect.Value, node ast.Node) bool {
	if _, empty := node.(*ast.NullNode); empty {
		return false // "key:" with nothing after it is the default
	}
	switch target := into.Addr().Interface().(type) {
	case *[]string:
		*target = nil
		if text, ok := scalar(node); ok { // one value may stand for a list of one
			*target = []string{text}
			return true
		}
		for i, item := range l.items(key, node) {
			at := fmt.Sprintf("%s[%d]", key, i)
			l.mark(at, item.GetToken())
			if text, ok := scalar(item); ok {
				*target = append(*target, text)
			} else {
				l.add(at, item.GetToken(), "%s, want a text", kindOf(item))
			}
		}
	case *[]ControlNode:
		*target = nil
		for i, item := range l.items(key, node) {
			at := fmt.Sprintf("%s[%d]", key, i)
			l.mark(at, item.GetToken())
			*target = append(*target, l.controlNode(at, item))
		}
	case *map[rotunda.Region]time.Duration:
		*target = map[rotunda.Region]time.Duration{}
		for _, entry := range l.entries(key, node) {
			region := entry.Key.GetToken().Value
			at := key + "." + region
			l.mark(at, entry.Value.GetToken())
			text, _ := scalar(entry.Value)
			d, err := time.ParseDuration(text)
			if err != nil {
				l.add(at, entry.Value.GetToken(), "%s", notDuration(text))
			}
			(*target)[rotunda.Region(region)] = d
		}
	default:
		text, ok := scalar(node)
		if !ok {
			l.add(key, node.GetToken(), "%s, want a single value", kindOf(node))
			return false
		}
		if err := setScalar(into, text); err != nil {
			l.add(key, node.GetToken(), "%v", err)
			return false
		}
	}
	return true
}

func (l *loader) controlNode(key string, node ast.Node) ControlNode {
	var n ControlNode
	for _, entry := range l.entries(key, node) {
		name := entry.Key.GetToken().Value
		text, ok := scalar(entry.Value)
		at := key + "." + name
		l.mark(at, entry.Value.GetToken())
		switch {
		case !ok:
			l.add(at, entry.Value.GetToken(), "%s, want a text", kindOf(entry.Value))
		case name == "id":
			n.ID = rotunda.NodeID(text)
		case name == "peer":
			n.Peer = text
		case name == "client":
			n.Client = text
		default:
			l.add(at, entry.Key.GetToken(), "unknown key%s", meant(nearest(name, []string{"id", "peer", "client"})))
		}
	}
	return n
}

// items are the entries of a sequence; of anything else a problem, and none.
func (l *loader) items(key string, node ast.Node) []ast.Node {
	sequence, ok := node.(*ast.SequenceNode)
	if !ok {
		l.add(key, node.GetToken(), "%s, want a list", kindOf(node))
		return nil
	}
	if len(sequence.Values) > entriesMax {
		l.add(key, node.GetToken(), "%d entries, more than %d", len(sequence.Values), entriesMax)
		return nil
	}
	return sequence.Values
}

// setText sets a setting from a variable or a flag: plain text; lists separated by commas; what has more structure, and a
// list in brackets, as YAML in one line.
func (l *loader) setText(key, text string, at place) {
	into := l.fields[key]
	l.places[key] = at
	fail := func(format string, a ...any) {
		l.problems = append(l.problems, Problem{Key: key, Source: at.source, Text: fmt.Sprintf(format, a...)})
	}
	switch target := into.Addr().Interface().(type) {
	case *[]string:
		if !strings.HasPrefix(strings.TrimSpace(text), "[") {
			*target = nil
			for part := range strings.SplitSeq(text, ",") {
				if part = strings.TrimSpace(part); part != "" {
					*target = append(*target, part)
				}
			}
			return
		}
	case *[]ControlNode, *map[rotunda.Region]time.Duration:
	default:
		if err := setScalar(into, text); err != nil {
			fail("%v", err)
		}
		return
	}
	node, problem := parse([]byte(text))
	switch {
	case problem != nil:
		fail("%s", problem.text)
	case node == nil:
		into.SetZero()
	default:
		inner := &loader{fields: l.fields, sections: l.sections, places: map[string]place{}}
		inner.value(key, into, node)
		for _, p := range inner.problems {
			l.problems = append(l.problems, Problem{Key: p.Key, Source: at.source, Text: p.Text})
		}
	}
}

// setScalar sets a text, a boolean or a number.
func setScalar(into reflect.Value, text string) error {
	switch into.Kind() {
	case reflect.String:
		into.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%.40q, want true or false", text)
		}
		into.SetBool(text == "true")
	case reflect.Int:
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return fmt.Errorf("%.40q, want a whole number", text)
		}
		into.SetInt(n)
	default:
		panic("config: a setting of kind " + into.Kind().String())
	}
	return nil
}

// scalar is the text of a single value, whatever YAML takes it for: a file name may look like a number.
func scalar(node ast.Node) (string, bool) {
	switch node := node.(type) {
	case *ast.StringNode:
		return node.Value, true
	case *ast.LiteralNode:
		return node.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return node.GetToken().Value, true
	}
	return "", false
}

// kindOf says what a node is, to somebody who may not know YAML's words.
func kindOf(node ast.Node) string {
	switch node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys with values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AnchorNode, *ast.AliasNode:
		return "an anchor or alias, which are not used here"
	case *ast.TagNode:
		return "a tag, which are not used here"
	case *ast.NullNode:
		return "nothing"
	}
	return "a single value"
}

func notDuration(text string) string {
	return fmt.Sprintf("%.40q is not a duration such as 38ms or 1.5s", text)
}

// mark remembers where a key's value stands in the file.
func (l *loader) mark(key string, at *token.Token) {
	if l.path != "" && at != nil && at.Position != nil {
		l.places[key] = place{l.path, at.Position.Line, at.Position.Column}
	}
}

func (l *loader) add(key string, at *token.Token, format string, a ...any) {
	p := Problem{Key: key, Source: l.path, Text: fmt.Sprintf(format, a...)}
	if at != nil && at.Position != nil && at.Position.Line >= 1 && at.Position.Line <= len(l.lines) {
		p.Line, p.Column = at.Position.Line, max(1, at.Position.Column)
		if !namesSecret(key) {
			p.excerpt = l.lines[p.Line-1]
		}
	}
	l.problems = append(l.problems, p)
}
