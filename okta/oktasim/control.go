package oktasim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// controlPath is where Config.Control listens. Okta has nothing there.
const controlPath = "/-/"

// controlText is what an unknown path below it answers.
const controlText = "oktasim: nothing here; there are /-/clock, /-/lag, /-/fault, /-/limits, /-/spend, /-/stats, /-/stats/reset, /-/touch, /-/attribute and /-/oauth"

// lagBody is a Lag in JSON: times such as "2s", absent ones are none.
type lagBody struct {
	Search          duration `json:"search"`
	Members         duration `json:"members"`
	MembershipStamp duration `json:"membershipStamp"`
	GroupStamp      duration `json:"groupStamp"`
	Everyone        duration `json:"everyone"`
	Wobble          bool     `json:"wobble"`
}

// limitsBody is what [Server.SetLimits] sets; what is absent limits nothing.
type limitsBody struct {
	Rate        int `json:"rate"`
	Concurrency int `json:"concurrency"`
}

// oauthBody is what POST /-/oauth does; what is absent is left alone.
type oauthBody struct {
	RotateNonce  bool  `json:"rotateNonce"`
	RefuseOld    bool  `json:"refuseOld"` // of rotateNonce
	NonceOnAPI   *bool `json:"nonceOnAPI"`
	RevokeTokens bool  `json:"revokeTokens"`
}

// oauthState is what it answers.
type oauthState struct {
	Apps       []string `json:"apps"`   // client ids
	Tokens     int      `json:"tokens"` // access tokens that live
	NonceOnAPI bool     `json:"nonceOnAPI"`
}

// duration is a time.Duration that JSON writes as text.
type duration time.Duration

// MarshalText implements [encoding.TextMarshaler].
func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = duration(v)
	return err
}

// badControl is a fault of a control request.
type badControl struct {
	status int
	text   string
}

// Error returns the text.
func (e *badControl) Error() string { return e.text }

// serveControl drives the simulator from outside the process. It needs no token
// and is not counted.
func (s *Server) serveControl(w http.ResponseWriter, r *http.Request) {
	answer, err := s.control(w, r)
	var bad *badControl
	switch {
	case errors.As(err, &bad):
		http.Error(w, bad.text, bad.status)
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(append(encode(answer), '\n'))
	}
}

func (s *Server) control(w http.ResponseWriter, r *http.Request) (answer any, err error) {
	name := strings.TrimPrefix(r.URL.Path, controlPath)
	switch name + " " + r.Method {
	case "clock GET":
	case "clock POST":
		err = s.controlClock(w, r)
	case "lag GET":
	case "lag POST":
		var b lagBody
		if err = readControl(w, r, &b); err == nil {
			s.cfg.Org.SetLag(Lag{time.Duration(b.Search), time.Duration(b.Members), time.Duration(b.MembershipStamp), time.Duration(b.GroupStamp), time.Duration(b.Everyone), b.Wobble})
		}
	case "fault GET":
	case "fault POST":
		var f Fault
		if err = readControl(w, r, &f); err == nil {
			err = s.SetFault(f)
		}
	case "fault DELETE":
		s.ClearFaults(r.URL.Query()["name"]...)
	case "limits GET":
	case "limits POST":
		var b limitsBody
		if err = readControl(w, r, &b); err == nil {
			s.SetLimits(b.Rate, b.Concurrency)
		}
	case "spend POST":
		return s.controlSpend(w, r)
	case "stats GET":
	case "stats/reset POST":
		s.ResetStats()
		name = "stats"
	case "oauth GET":
	case "oauth POST":
		var b oauthBody
		if err = readControl(w, r, &b); err == nil {
			err = s.controlOAuth(b)
		}
	case "touch POST":
		var b struct {
			Groups []string `json:"groups"`
		}
		if err = readControl(w, r, &b); err == nil {
			err = s.cfg.Org.TouchMembership(b.Groups...)
		}
	case "attribute DELETE":
		err = s.cfg.Org.RemoveAttribute(r.URL.Query().Get("name"))
	default:
		return nil, noControl(name)
	}
	if err != nil {
		return nil, err
	}
	switch name {
	case "clock":
		return map[string]time.Time{"now": s.cfg.Now().UTC()}, nil
	case "lag":
		l := s.cfg.Org.Lag()
		return lagBody{duration(l.Search), duration(l.Members), duration(l.MembershipStamp), duration(l.GroupStamp), duration(l.Everyone), l.Wobble}, nil
	case "fault":
		return s.Faults(), nil
	case "limits":
		rate, concurrency := s.limiter.limits()
		return limitsBody{rate, concurrency}, nil
	case "stats":
		return s.Stats(), nil
	case "oauth":
		return s.oauth.state(), nil
	}
	return struct{}{}, nil
}

// noControl tells an unknown path from a wrong method.
func noControl(name string) error {
	methods := map[string]string{
		"clock": "GET or POST", "lag": "GET or POST", "fault": "GET, POST or DELETE",
		"limits": "GET or POST", "spend": "POST", "stats": "GET", "stats/reset": "POST", "touch": "POST", "attribute": "DELETE",
		"oauth": "GET or POST",
	}
	if m := methods[name]; m != "" {
		return &badControl{http.StatusMethodNotAllowed, "oktasim: " + controlPath + name + " takes " + m}
	}
	return &badControl{http.StatusNotFound, controlText}
}

func (s *Server) controlClock(w http.ResponseWriter, r *http.Request) error {
	var b struct {
		Advance duration   `json:"advance"`
		Set     *time.Time `json:"set"`
		Freeze  bool       `json:"freeze"`
	}
	if err := readControl(w, r, &b); err != nil {
		return err
	}
	if s.cfg.Clock == nil {
		return &badControl{http.StatusConflict, "oktasim: this server has no clock that can be moved; give it a Config.Clock"}
	}
	if b.Freeze {
		s.cfg.Clock.Freeze()
	}
	if b.Set != nil {
		s.cfg.Clock.Set(*b.Set)
	}
	s.cfg.Clock.Advance(time.Duration(b.Advance))
	return nil
}

func (s *Server) controlOAuth(b oauthBody) error {
	if b.RefuseOld && !b.RotateNonce {
		return errors.New("oktasim: refuseOld says what becomes of the old nonces, and needs rotateNonce")
	}
	if b.RotateNonce {
		s.RotateNonce(b.RefuseOld)
	}
	if b.NonceOnAPI != nil {
		s.RequireNonce(*b.NonceOnAPI)
	}
	if b.RevokeTokens {
		s.RevokeTokens()
	}
	return nil
}

func (o *oauth) state() oauthState {
	o.mu.Lock()
	defer o.mu.Unlock()
	st := oauthState{Apps: slices.Sorted(maps.Keys(o.apps)), NonceOnAPI: o.onAPI}
	for _, g := range o.tokens {
		if o.now().Before(g.expires) {
			st.Tokens++
		}
	}
	return st
}

func (s *Server) controlSpend(w http.ResponseWriter, r *http.Request) (answer any, err error) {
	var b struct {
		Bucket string `json:"bucket"`
		Calls  int    `json:"calls"`
	}
	if err := readControl(w, r, &b); err != nil {
		return nil, err
	}
	spent, err := s.Spend(b.Bucket, b.Calls)
	return map[string]int{"spent": spent}, err
}

// readControl reads a request's JSON object; an unknown name is an error, since
// a misspelt one would change nothing.
func readControl(w http.ResponseWriter, r *http.Request, into any) error {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("oktasim: %s: not the JSON object that is needed: %w", r.URL.Path, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("oktasim: %s: more than one JSON object", r.URL.Path)
	}
	return nil
}
