package dynamic

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func readEvents(r io.Reader) ([]event, error) {
	var events []event
	er := newEventReader(r)
	for {
		e, err := er.next()
		if err != nil {
			return events, err
		}
		events = append(events, e)
	}
}

func TestEventReader(t *testing.T) {
	for _, tt := range []struct {
		name, stream string
		want         []event
	}{
		{"as the vendor sends it", "event: room_created\ndata: {\"roomId\":\"r\"}\n\nevent: ceremony_complete\ndata: {}\n\n",
			[]event{{"room_created", `{"roomId":"r"}`}, {"ceremony_complete", "{}"}}},
		{"carriage returns", "event: a\r\ndata: 1\r\n\r\nevent: b\rdata: 2\r\r", []event{{"a", "1"}, {"b", "2"}}},
		{"comments and ids anywhere", ": hello\nid: 1\nevent: a\ndata: 1\n: more\nid: 2\nretry: 3\n\n", []event{{"a", "1"}}},
		{"keep-alives between events", ":\n\n:\n\nevent: a\ndata: 1\n\n:\n\n", []event{{"a", "1"}}},
		{"data on several lines", "data: 1\ndata:2\ndata\n\n", []event{{"message", "1\n2\n"}}},
		{"a name without data is no event, and does not stick", "event: a\n\ndata: 1\n\n", []event{{"message", "1"}}},
		{"the last name counts", "event: a\nevent: b\ndata: 1\n\n", []event{{"b", "1"}}},
		{"only one space is cut", "data:  1\n\n", []event{{"message", " 1"}}},
		{"a byte order mark", "\ufeffdata: 1\n\n", []event{{"message", "1"}}},
		{"cut off", "event: a\ndata: 1\n", nil},
		{"nothing", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for how, r := range map[string]io.Reader{
				"at once":      strings.NewReader(tt.stream),
				"byte by byte": iotest.OneByteReader(strings.NewReader(tt.stream)),
			} {
				got, err := readEvents(r)
				if !errors.Is(err, io.EOF) {
					t.Errorf("%s: %v", how, err)
				}
				if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(event{})); diff != "" {
					t.Errorf("%s (-want +got):\n%s", how, diff)
				}
			}
		})
	}
}

// TestEventReaderDoesNotWait: an event is there as soon as its last byte is.
func TestEventReaderDoesNotWait(t *testing.T) {
	for _, end := range []string{"\n\n", "\r\n\r\n", "\r\r"} {
		r, w := io.Pipe()
		go io.WriteString(w, "event: a\ndata: 1"+end) // and no more: the pipe stays open
		e, err := newEventReader(r).next()
		if err != nil || e.data != "1" {
			t.Errorf("after %q: %+v, %v", end, e, err)
		}
		r.Close()
	}
}

func TestEventReaderLimits(t *testing.T) {
	endless := map[string]io.Reader{
		"one line":       strings.NewReader("data: " + strings.Repeat("x", maxEvent+1)),
		"many lines":     strings.NewReader(strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", maxEvent/1000)),
		"empty data":     strings.NewReader(strings.Repeat("data\n", maxEvent+1)),
		"comments":       endlessly(":\n\n"),
		"unknown events": endlessly("event: x\ndata: 1\n\n"),
	}
	for name, r := range endless {
		if _, err := readEvents(r); !errors.Is(err, errStreamTooLong) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// endlessly repeats s for ever.
type endlessly string

func (s endlessly) Read(b []byte) (int, error) {
	n := 0
	for n+len(s) <= len(b) {
		n += copy(b[n:], s)
	}
	return n, nil
}

func FuzzEventReader(f *testing.F) {
	f.Add("event: a\ndata: 1\n\n", "room_created", `{"roomId":"r"}`)
	f.Add("data\r\rdata\r\n\n", "", "")
	f.Add("\ufeff:\n\n", "error", "a\nb")
	f.Fuzz(func(t *testing.T, stream, name, data string) {
		whole, _ := readEvents(strings.NewReader(stream))
		pieces, _ := readEvents(iotest.OneByteReader(strings.NewReader(stream)))
		if diff := cmp.Diff(whole, pieces, cmp.AllowUnexported(event{})); diff != "" {
			t.Fatalf("the way it arrives changes what it says:\n%s", diff)
		}
		for _, e := range whole {
			if e.name == "" || strings.ContainsAny(e.name+e.data, "\r") || strings.Contains(e.name, "\n") {
				t.Fatalf("impossible event %+v", e)
			}
		}
		if strings.ContainsAny(name, "\r\n") || name == "" || strings.Contains(data, "\r") {
			return
		}
		// What a server writes is what is read, after whatever came before.
		written := "event: " + name + "\ndata: " + strings.ReplaceAll(data, "\n", "\ndata: ") + "\n\n"
		got, _ := readEvents(strings.NewReader(written))
		if len(got) != 1 || got[0] != (event{name, data}) {
			t.Fatalf("wrote %q %q, read %+v", name, data, got)
		}
	})
}
