package api

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// Changes of a room travel as JSON merge patches (RFC 7396) from the view before to the view after: applied to the former
// they give the latter. A merge patch cannot say null, so a member that is null and one that is not there are the same.

// tree is v as generic JSON.
func tree(v any) (map[string]any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode a view: %v", err)
	}
	var t map[string]any
	if err := json.Unmarshal(b, &t); err != nil {
		return nil, fmt.Errorf("decode a view: %v", err)
	}
	return t, nil
}

// mergeDiff is the smallest merge patch that turns before into after. It may alias both, and changes neither.
func mergeDiff(before, after map[string]any) map[string]any {
	patch := map[string]any{}
	for name, was := range before {
		if after[name] == nil && was != nil {
			patch[name] = nil
		}
	}
	for name, is := range after {
		if is == nil {
			continue
		}
		was := before[name]
		isObject, ok := is.(map[string]any)
		if !ok {
			if !reflect.DeepEqual(was, is) {
				patch[name] = is
			}
			continue
		}
		// An object is always merged into; where there was none, what merges is the whole of it.
		wasObject, ok := was.(map[string]any)
		if p := mergeDiff(wasObject, isObject); !ok || len(p) > 0 {
			patch[name] = p
		}
	}
	return patch
}
