package torture

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestDoor(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	d, err := newDoor(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(entered)
			<-leave
		}
		io.WriteString(w, "in")
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	call := func(method, path string) string {
		request, err := http.NewRequestWithContext(t.Context(), method, d.url()+path, strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			return "broken"
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			return "broken"
		}
		return string(text)
	}
	if got := call(http.MethodPost, "/x"); got != "in" {
		t.Errorf("an open door: %q", got)
	}
	d.watch()
	call(http.MethodGet, "/read")
	call(http.MethodPost, "/environments/e/authenticate")
	call(http.MethodPost, "/refresh")
	call(http.MethodPut, "/upgrade")
	if n := len(d.seen()); n != 2 {
		t.Errorf("%d calls that change something were seen, want 2", n)
	}
	call(http.MethodPost, "/refresh")
	if n := len(d.seen()); n != 2 {
		t.Errorf("%d calls were seen after the watch, want the 2 of before", n)
	}

	slow := make(chan string, 1)
	go func() { slow <- call(http.MethodGet, "/slow") }()
	<-entered
	address := d.address
	d.shut()
	if got := <-slow; got != "broken" {
		t.Errorf("a call under way when the door was shut: %q", got)
	}
	close(leave)
	if got := call(http.MethodGet, "/x"); got != "broken" {
		t.Errorf("a shut door: %q", got)
	}
	if err := d.open(); err != nil {
		t.Fatal(err)
	}
	if err := d.cut(); err != nil {
		t.Fatal(err)
	}
	if got := call(http.MethodGet, "/x"); got != "in" || d.address != address {
		t.Errorf("a door that was opened again: %q at %s, before at %s", got, d.address, address)
	}
}
