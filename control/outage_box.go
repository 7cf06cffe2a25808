package control

import (
	"errors"
	"fmt"
	"slices"

	"rotunda/control/disk"
)

// openBox opens the folder of the facts that this node has acknowledged and that are not in the log yet, and returns them,
// the oldest first. Those that cannot be read are left where they are and named in the error, beside the others.
func openBox(d *disk.Disk, dir string) (*disk.Box, []Fact, error) {
	b, items, err := d.Box(dir)
	errs := []error{err}
	var facts []Fact
	for name, data := range items {
		f, err := parseFact(data, openly)
		if err == nil && f.ID != name {
			err = fmt.Errorf("%w: it says that it is %s", errFact, f.ID)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", b.Path(name), err))
			continue
		}
		facts = append(facts, f)
	}
	slices.SortFunc(facts, func(x, y Fact) int { return x.Events[0].At.Compare(y.Events[0].At) })
	return b, facts, errors.Join(errs...)
}
