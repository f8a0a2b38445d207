package assume

import (
	"strings"
	"testing"
)

func TestDefaultsAndChoices(t *testing.T) {
	var defaults Set
	for _, a := range All() {
		for i, v := range a.Values {
			if got, want := defaults.Is(a.Key, v.Name), i == 0; got != want {
				t.Errorf("default of %s: is %s %v, want %v", a.Key, v.Name, got, want)
			}
			chosen, err := Parse(map[string]string{a.Key: v.Name})
			if err != nil {
				t.Fatal(err)
			}
			if !chosen.Is(a.Key, v.Name) || chosen.Chosen()[a.Key] != v.Name {
				t.Errorf("%s=%s was not chosen", a.Key, v.Name)
			}
		}
		if len(a.Values) < 2 || a.About == "" {
			t.Errorf("%s is not an assumption: one value, or nothing said about it", a.Key)
		}
	}
}

func TestUnknownIsRefusedWithTheList(t *testing.T) {
	for given, want := range map[[2]string]string{
		{"second_refrsh", "coexists"}:  "second_refresh",
		{"second_refresh", "co-exist"}: "invalidates_older",
		{"pending_sets", "EXPIRE"}:     "kept, expire",
	} {
		_, err := Parse(map[string]string{given[0]: given[1]})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", given, err)
		}
	}
}

func TestAskingForWhatIsNotListedPanics(t *testing.T) {
	for _, pair := range [][2]string{{"none", Kept}, {PendingSets, Coexists}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%v did not panic", pair)
				}
			}()
			Set{}.Is(pair[0], pair[1])
		}()
	}
}
