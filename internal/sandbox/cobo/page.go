package cobo

import (
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
)

// The vendor's limits of a page.
const (
	defaultLimit = 10
	maxLimit     = 50
	// lastPage is the value of before that asks for the last page.
	lastPage = "infinity"
)

type page[T any] struct {
	Data       []T        `json:"data"`
	Pagination pagination `json:"pagination"`
}

type pagination struct {
	Before string `json:"before"` // empty on the first page
	After  string `json:"after"`  // empty on the last page
	Total  int    `json:"total_count"`
}

// entry of a list, at a position that stays when others vanish.
type entry[T any] struct {
	at    int
	value T
}

// paginate cuts the page that a query asks for out of entries in ascending
// order of position.
func paginate[T any](query url.Values, entries []entry[T]) (page[T], *refusal) {
	limit := defaultLimit
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxLimit {
			return page[T]{}, invalid("limit must be from 1 to %d", maxLimit)
		}
		limit = n
	}
	before, after := query.Get("before"), query.Get("after")
	first, end := 0, len(entries)
	switch {
	case before != "" && after != "":
		return page[T]{}, invalid("before and after cannot both be given")
	case after != "":
		at, ok := readCursor(after)
		if !ok {
			return page[T]{}, invalid("after is not a cursor")
		}
		for first < len(entries) && entries[first].at <= at {
			first++
		}
	case before != "":
		if before != lastPage {
			at, ok := readCursor(before)
			if !ok {
				return page[T]{}, invalid("before is not a cursor")
			}
			for end > 0 && entries[end-1].at >= at {
				end--
			}
		}
		first = max(0, end-limit)
	}
	end = min(end, first+limit)

	out := page[T]{Data: make([]T, 0, end-first), Pagination: pagination{Total: len(entries)}}
	for _, e := range entries[first:end] {
		out.Data = append(out.Data, e.value)
	}
	if first > 0 && first < end {
		out.Pagination.Before = cursor(entries[first].at)
	}
	if end < len(entries) && first < end {
		out.Pagination.After = cursor(entries[end-1].at)
	}
	return out, nil
}

const cursorPrefix = "position "

// cursor is opaque to callers.
func cursor(at int) string {
	return base64.RawURLEncoding.EncodeToString([]byte(cursorPrefix + strconv.Itoa(at)))
}

func readCursor(text string) (at int, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return 0, false
	}
	number, found := strings.CutPrefix(string(raw), cursorPrefix)
	at, err = strconv.Atoi(number)
	return at, found && err == nil
}
