package cobo

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
)

const (
	pageSize = 50 // the vendor's largest
	// maxPages ends a walk that a vendor never ends.
	maxPages = 2000
	// maxCursor is far above the vendor's cursors, which go into queries.
	maxCursor = 1024
)

// page is one page of a list; an After that is empty ends it.
type page struct {
	Data       []json.RawMessage `json:"data"`
	Pagination *struct {
		After string `json:"after"`
	} `json:"pagination"`
}

// walk follows a list to its end. Each entry is decoded into a new T and must
// pass its check. An error from yield ends the walk and is returned.
func walk[T interface{ check() error }](ctx context.Context, p *Provider, r request, yield func(T) error) error {
	query := r.query
	if query == nil {
		query = url.Values{}
	}
	query.Set("limit", strconv.Itoa(pageSize))
	for range maxPages {
		var one page
		r.query = query
		if err := p.call(ctx, r, &one); err != nil {
			return err
		}
		for _, raw := range one.Data {
			var entry T
			if json.Unmarshal(raw, &entry) != nil {
				return r.garbled("an entry of the list is not the JSON that was expected")
			}
			if err := entry.check(); err != nil {
				return r.garbled("%s", err)
			}
			if err := yield(entry); err != nil {
				return err
			}
		}
		switch {
		case one.Pagination == nil && len(one.Data) >= pageSize:
			return r.garbled("the list does not say whether it goes on")
		case one.Pagination == nil || one.Pagination.After == "":
			return nil
		case one.Pagination.After == query.Get("after") || len(one.Pagination.After) > maxCursor:
			return r.garbled("the list has no end")
		}
		query.Set("after", one.Pagination.After)
	}
	return r.garbled("the list has no end")
}

// collect is walk for a list that is needed as a whole. What comes twice,
// because something before it vanished between two pages, counts once.
func collect[T interface{ check() error }](ctx context.Context, p *Provider, r request, id func(T) string) ([]T, error) {
	var all []T
	err := walk(ctx, p, r, func(entry T) error {
		if i := slices.IndexFunc(all, func(other T) bool { return id(other) == id(entry) }); i >= 0 {
			all[i] = entry
		} else {
			all = append(all, entry)
		}
		return nil
	})
	return all, err
}
