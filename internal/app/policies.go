package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/rotatord/rotatord/internal/store"
)

// ErrNothingToRevert says that a policy is what it would be reverted to.
var ErrNothingToRevert = errors.New("nothing to revert")

// Change of one column of a policy, as SQL writes the values.
type Change struct {
	Column string `json:"column"`
	Old    string `json:"old,omitempty"` // empty: there was no row
	New    string `json:"new,omitempty"` // empty: there is none any more
}

// String is the change as people read it.
func (c Change) String() string {
	switch {
	case c.Old == "":
		return c.Column + " " + c.New
	case c.New == "":
		return c.Column + " was " + c.Old
	}
	return fmt.Sprintf("%s %s → %s", c.Column, c.Old, c.New)
}

// Edit is one edit of a policy.
type Edit struct {
	Version   int64     `json:"version"`
	At        time.Time `json:"at"`
	Operation string    `json:"operation"` // insert, update or delete
	// Login is the session user, Actor who used it and Reason why, where that was
	// said.
	Login   string   `json:"login"`
	Actor   string   `json:"actor,omitempty"`
	Reason  string   `json:"reason,omitempty"`
	Changes []Change `json:"changes"`
	// Verdict is running, refused or not judged yet; empty: it is not kept.
	Verdict string `json:"verdict,omitempty"`
	Error   string `json:"error,omitempty"`
}

// PolicyLog reads the edits of a policy, the latest ones first and at most so
// many (0: all), under a login that may read. [store.ErrNoPolicy]
func PolicyLog(ctx context.Context, dsn, policy string, limit int) ([]Edit, error) {
	connecting, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	r, err := store.ConnectReader(connecting, dsn)
	if err != nil {
		return nil, OneLine(err)
	}
	defer r.Close(ctx)
	rows, err := r.PolicyEdits(ctx, policy, limit)
	if err != nil {
		return nil, err
	}
	out := make([]Edit, len(rows))
	for i, row := range rows {
		out[i] = Edit{Version: row.Version, At: row.At.UTC(), Operation: row.Operation, Login: row.SessionUser, Actor: row.Actor,
			Reason: row.Reason, Changes: changes(row.Old, row.New), Error: row.Error}
		switch {
		case row.Operation == "delete":
			out[i].Error = ""
		case row.Error != "":
			out[i].Verdict = "refused"
		case row.Running:
			out[i].Verdict = "running"
		case i == 0 && !row.Judged:
			out[i].Verdict = "not judged yet"
		}
	}
	return out, nil
}

// bookkeeping are the columns that every edit changes, or none.
var bookkeeping = []string{"id", "version", "updated_at", "updated_by"}

// order of the columns, as the table has them; others come behind.
var order = []string{"name", "schedule", "timezone", "run_window", "spread", "canary", "max_share_age", "max_concurrent",
	"max_per_minute", "max_attempts", "failure_budget", "enabled", "paused_reason"}

// changes are the columns in which two rows differ. Of a row that came or went
// they are those that have a value.
func changes(before, now map[string]any) []Change {
	columns := maps.Clone(before)
	if columns == nil {
		columns = map[string]any{}
	}
	maps.Copy(columns, now)
	all := []Change{}
	for column := range columns {
		was, is := before[column], now[column]
		if slices.Contains(bookkeeping, column) || reflect.DeepEqual(was, is) {
			continue
		}
		c := Change{Column: column}
		if before != nil {
			c.Old = literal(was)
		}
		if now != nil {
			c.New = literal(is)
		}
		all = append(all, c)
	}
	place := func(c Change) int {
		if i := slices.Index(order, c.Column); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortFunc(all, func(a, b Change) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), strings.Compare(a.Column, b.Column))
	})
	return all
}

// literal writes a value as SQL does.
func literal(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return "'" + strings.ReplaceAll(v, "'", "''") + "'"
	}
	return fmt.Sprint(v)
}

// RevertOptions of Revert.
type RevertOptions struct {
	// DatabaseURL is the login of a member of rotatord_operator.
	DatabaseURL   string
	Policy        string
	To            int64 // version
	Actor, Reason string
	// Confirm sees what would be changed, and says whether to; an error ends it.
	Confirm func(*Reverted) (bool, error)
}

// Reverted is what a reversal changes.
type Reverted struct {
	Policy  string   `json:"policy"`
	From    int64    `json:"from_version"`
	To      int64    `json:"to_version"`
	Changes []Change `json:"changes"`
	// Version that it made; 0: it was not confirmed.
	Version int64 `json:"version"`
}

// Revert takes a policy back to the values of a version before, by an ordinary
// edit that makes a version of its own. The name, and whether a person has
// stopped the policy, stay as they are. [store.ErrNoPolicy],
// [store.ErrNoVersion], [ErrNothingToRevert], [store.ErrEditedMeanwhile]
func Revert(ctx context.Context, o RevertOptions) (*Reverted, error) {
	connecting, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	operator, err := store.ConnectOperator(connecting, o.DatabaseURL)
	if err != nil {
		return nil, OneLine(err)
	}
	defer operator.Close(ctx)
	v, err := operator.Reversal(ctx, o.Policy, o.To)
	if err != nil {
		return nil, err
	}
	r := &Reverted{Policy: o.Policy, From: v.Version, To: o.To, Changes: changes(v.Now, v.Then)}
	if len(r.Changes) == 0 {
		return nil, fmt.Errorf("%w: policy %s is as it was in version %d", ErrNothingToRevert, o.Policy, o.To)
	}
	if sure, err := o.Confirm(r); err != nil || !sure {
		return r, err
	}
	r.Version, err = operator.Revert(ctx, v, o.Actor, o.Reason)
	return r, err
}
