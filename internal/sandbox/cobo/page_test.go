package cobo

import (
	"encoding/json"
	"net/url"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func numbers(positions ...int) []entry[int] {
	var entries []entry[int]
	for _, at := range positions {
		entries = append(entries, entry[int]{at, at})
	}
	return entries
}

// Whatever the size of the list and of the page, and whatever vanishes between
// two pages: walking in either direction meets everything that stayed, once
// and in order.
func TestWalkingMeetsEverythingOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.IntRange(0, 60).Draw(t, "count")
		limit := rapid.SampledFrom([]string{"", "1", "7", "50"}).Draw(t, "limit")
		backwards := rapid.Bool().Draw(t, "backwards")
		var all []int
		for i := range count {
			all = append(all, 3*i+1)
		}
		var met, gone []int
		query := url.Values{"limit": {limit}}
		if backwards {
			query.Set("before", lastPage)
		}
		for {
			present := slices.DeleteFunc(slices.Clone(all), func(n int) bool { return slices.Contains(gone, n) })
			got, refusal := paginate(query, numbers(present...))
			if refusal != nil || got.Pagination.Total != len(present) || got.Data == nil {
				t.Fatalf("%+v, %+v", got, refusal)
			}
			next := url.Values{"limit": {limit}}
			if backwards {
				met = append(slices.Clone(got.Data), met...)
				next.Set("before", got.Pagination.Before)
			} else {
				met = append(met, got.Data...)
				next.Set("after", got.Pagination.After)
			}
			if next.Get("before") == "" && next.Get("after") == "" {
				break
			}
			if rapid.Bool().Draw(t, "vanish") {
				gone = append(gone, got.Data[len(got.Data)-1], got.Data[0])
			}
			query = next
		}
		if !slices.Equal(met, all) {
			t.Fatalf("met %v of %v", met, all)
		}
	})
}

func TestPageRefuses(t *testing.T) {
	for _, query := range []url.Values{
		{"limit": {"0"}}, {"limit": {"51"}}, {"limit": {"-1"}}, {"limit": {"ten"}},
		{"before": {cursor(1)}, "after": {cursor(2)}},
		{"after": {"x"}}, {"before": {"x"}}, {"after": {lastPage}},
	} {
		if got, refusal := paginate(query, numbers(1, 2, 3)); refusal == nil || refusal.status != 400 {
			t.Errorf("%v: %+v, %+v", query, got, refusal)
		}
	}
}

func TestPageDefaults(t *testing.T) {
	var twelve []int
	for i := range 12 {
		twelve = append(twelve, i)
	}
	got, _ := paginate(url.Values{}, numbers(twelve...))
	if len(got.Data) != 10 || got.Pagination.Before != "" || got.Pagination.After == "" || got.Pagination.Total != 12 {
		t.Errorf("%+v", got)
	}
	empty, _ := paginate(url.Values{}, numbers())
	text, err := json.Marshal(empty)
	if err != nil || string(text) != `{"data":[],"pagination":{"before":"","after":"","total_count":0}}` {
		t.Errorf("%s, %v", text, err)
	}
}

func FuzzReadCursor(f *testing.F) {
	f.Add(cursor(7))
	f.Add(lastPage)
	f.Fuzz(func(t *testing.T, text string) {
		if at, ok := readCursor(text); ok {
			if again, ok := readCursor(cursor(at)); !ok || again != at {
				t.Fatalf("%q is %d, and then %d", text, at, again)
			}
		}
	})
}
