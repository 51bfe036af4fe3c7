package oktasim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// users makes the users in the order of their creation, which is the order of
// their ids.
func (g *generator) users() {
	o, n := g.org, g.spec.Users
	statuses := g.statuses()
	o.users = make([]*user, 0, n)
	span := wholeSecond(g.latest) - o.created
	for i, status := range statuses {
		created := o.created + span/stamp(n+1)*stamp(i+1)/1000*1000
		u := g.user(i, status, created)
		u.render()
		o.users = append(o.users, u)
		o.indexLogin(u)
	}
}

func (g *generator) user(i int, status string, created stamp) *user {
	o := g.org
	last := wholeSecond(g.latest)
	u := &user{id: o.ids.mint(prefixUser), status: status, realmID: o.realmID, typeID: o.types[0].id, created: created, lastUpdated: created}
	t := o.types[0]
	if i%25 == 13 {
		t = o.types[1]
		u.typeID = t.id
	}
	if status != Staged {
		u.activated = g.between(created, min(last, created+stamp(3*day.Milliseconds())))
		u.statusChanged = u.activated
		if status != Active && status != Provisioned {
			u.statusChanged = g.between(u.activated, last)
		}
		u.lastUpdated = u.statusChanged
	}
	if g.chance(0.6) {
		u.lastUpdated = g.between(u.lastUpdated, last)
	}
	password := status != Staged && status != Provisioned
	if password {
		u.passwordChanged = g.between(u.activated, u.lastUpdated)
		if g.chance(0.8) {
			u.lastLogin = g.between(u.activated, last)
		}
	}
	u.credentials = g.credentials(password)
	u.login, u.profile = g.profile(i, t)
	return u
}

func (g *generator) credentials(password bool) json.RawMessage {
	provider := `{"type":"OKTA","name":"OKTA"}`
	if g.chance(0.1) {
		provider = `{"type":"ACTIVE_DIRECTORY","name":"corp.example.com"}`
	}
	if !password {
		return json.RawMessage(`{"provider":` + provider + `}`)
	}
	if g.chance(0.3) {
		return json.RawMessage(`{"password":{},"recovery_question":{"question":"What was your dream job as a child?"},"provider":` + provider + `}`)
	}
	return json.RawMessage(`{"password":{},"provider":` + provider + `}`)
}

// profile encodes a profile: the four required attributes always, the rest by
// chance, the two that Okta shows as null when unset.
func (g *generator) profile(i int, t *userType) (login string, profile json.RawMessage) {
	c := &cultures[g.rnd.IntN(len(cultures))]
	given, family := pick(g, c.given), pick(g, c.family)
	local := given[1] + "." + family[1]
	g.logins[local]++
	if n := g.logins[local]; n > 1 {
		local += strconv.Itoa(n)
	}
	email := local + "@" + pick(g, mailDomains)
	login = email
	switch {
	case g.chance(0.03):
		login = strings.ToUpper(given[1][:1]) + given[1][1:] + login[len(given[1]):]
	case g.chance(0.05):
		login = local + "@login.example.com" // not every login is the e-mail
	}

	b := g.buf[:0]
	b = append(b, '{')
	field := func(name string) {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(appendString(b, name), ':')
	}
	put := func(name, value string) {
		field(name)
		b = appendString(b, value)
	}
	maybe := func(p float64, name, value string) {
		if g.chance(p) {
			put(name, value)
		}
	}
	orNull := func(p float64, name, value string) {
		field(name)
		if g.chance(p) {
			b = appendString(b, value)
		} else {
			b = append(b, "null"...)
		}
	}
	phone := fmt.Sprintf(c.phone, i%100)

	put("firstName", given[0])
	put("lastName", family[0])
	orNull(0.4, "mobilePhone", phone)
	maybe(0.1, "middleName", pick(g, c.given)[0])
	maybe(0.05, "honorificPrefix", pick(g, prefixes))
	maybe(0.03, "honorificSuffix", pick(g, suffixes))
	maybe(0.7, "displayName", given[0]+" "+family[0])
	maybe(0.1, "nickName", given[0])
	maybe(0.6, "title", pick(g, titles))
	orNull(0.2, "secondEmail", given[1]+strconv.Itoa(i)+"@private.example.net")
	put("login", login)
	put("email", email)
	maybe(0.05, "profileUrl", "https://people.example.com/"+given[1]+"/"+strconv.Itoa(i)+"?tab=a&b")
	maybe(0.2, "primaryPhone", phone)
	maybe(0.3, "streetAddress", c.street)
	maybe(0.5, "city", c.city)
	maybe(0.3, "state", c.state)
	maybe(0.3, "zipCode", fmt.Sprintf("%05d", i%100000))
	maybe(0.5, "countryCode", c.country)
	maybe(0.1, "postalAddress", c.street+"\n"+c.city)
	maybe(0.2, "preferredLanguage", c.language)
	maybe(0.3, "locale", c.locale)
	maybe(0.3, "timezone", c.timezone)
	maybe(0.5, "userType", pick(g, userTypes))
	maybe(0.8, "employeeNumber", strconv.Itoa(100000+i))
	maybe(0.4, "costCenter", strconv.Itoa(10*(1+g.rnd.IntN(40))))
	maybe(0.4, "organization", pick(g, organization))
	maybe(0.3, "division", pick(g, divisions))
	maybe(0.8, "department", pick(g, departments))
	if i > 0 && g.chance(0.5) {
		put("managerId", strconv.Itoa(100000+g.rnd.IntN(i)))
		maybe(0.6, "manager", pick(g, c.given)[0]+" "+pick(g, c.family)[0])
	}
	if t.isDefault {
		g.custom(field, put, func(raw string) { b = append(b, raw...) })
	} else {
		put("agency", "Adecco & Söhne")
	}
	b = append(b, '}')
	g.buf = b
	return login, slices.Clone(b)
}

// custom adds custom attributes of every type.
func (g *generator) custom(field func(string), put func(name, value string), raw func(string)) {
	if g.chance(0.5) {
		put("badgeNumber", fmt.Sprintf("B-%06d", g.rnd.IntN(1000000)))
	}
	if g.chance(0.2) {
		put("shirtSize", pick(g, []string{"S", "M", "L", "XL"}))
	}
	if g.chance(0.4) {
		field("isRemote")
		raw(strconv.FormatBool(g.chance(0.5)))
	}
	if g.chance(0.3) {
		field("deskNumber")
		raw(strconv.Itoa(g.rnd.IntN(5000) - 10))
	}
	if g.chance(0.2) {
		field("fullTimeEquivalent")
		raw(pick(g, []string{"0.5", "0.75", "1", "0.825"}))
	}
	if g.chance(0.3) {
		field("skills")
		raw(string(encode([]string{pick(g, skills), pick(g, skills)})))
	}
	if g.chance(0.15) {
		field("floorAccess")
		raw(fmt.Sprintf("[%d,%d]", g.rnd.IntN(10), g.rnd.IntN(30)))
	}
	if g.chance(0.1) {
		field("ratings")
		raw(fmt.Sprintf("[%d.5,4.25]", g.rnd.IntN(4)))
	}
	if g.chance(0.1) {
		put("some_snake_case_attr", "")
	}
}

func (g *generator) groups() {
	o := g.org
	sizes := g.groupSizes()
	apps := []string{o.ids.mint(prefixApp), o.ids.mint(prefixApp)}
	o.groups = make([]*group, 0, len(sizes))
	span := wholeSecond(g.latest) - o.created
	for i, size := range sizes {
		gr := &group{
			id: o.ids.mint(prefixGroup), typ: OktaGroup, objectClass: []string{classUserGroup},
			logo: json.RawMessage(groupLogo), owners: true,
			created: o.created + span/stamp(len(sizes)+1)*stamp(i)/1000*1000,
		}
		switch {
		case i == 0:
			gr.typ, gr.name = BuiltIn, EveryoneName
			gr.profile = json.RawMessage(`{"name":"Everyone","description":"All users in your organization"}`)
		case i%appGroups == appGroups-1:
			gr.typ, gr.objectClass, gr.sourceID = AppGroup, []string{classADGroup}, apps[i/appGroups%len(apps)]
			gr.name, gr.profile = g.adProfile(i)
		default:
			gr.name = fmt.Sprintf("%s %s %d", pick(g, groupWords), pick(g, groupKinds), i)
			profile := attrs{{"name", encode(gr.name)}, {"description", encode(fmt.Sprintf("Who may use %q", gr.name))}}
			if g.chance(0.1) {
				profile = profile.set("description", encode(""))
			}
			if g.chance(0.2) {
				profile = profile.set("costCenter", encode(strconv.Itoa(g.rnd.IntN(900))))
			}
			if g.chance(0.2) {
				profile = profile.set("reviewed", encode(g.chance(0.5)))
			}
			gr.profile = profile.encode()
		}
		last := wholeSecond(g.latest)
		gr.lastUpdated, gr.membership = gr.created, gr.created
		if i > 0 && g.chance(0.3) {
			gr.lastUpdated = g.between(gr.created, last)
		}
		gr.members = g.sample(size)
		if size > 0 {
			gr.membership = g.between(gr.created, last)
		}
		gr.render()
		o.groups = append(o.groups, gr)
	}
}

// adProfile is the profile of a group imported from Active Directory (facts.md §9).
func (g *generator) adProfile(i int) (string, json.RawMessage) {
	name := fmt.Sprintf("AD %s %d", pick(g, groupKinds), i)
	account := fmt.Sprintf("ad-group-%d", i)
	guid := fmt.Sprintf("%08x%08x", g.rnd.Uint32(), g.rnd.Uint32())
	return name, attrs{
		{"name", encode(name)},
		{"description", encode("corp.example.com/Groups/" + name)},
		{"samAccountName", encode(account)},
		{"objectSid", encode(fmt.Sprintf("S-1-5-21-717861-44128-91827-%d", 1000+i))},
		{"dn", encode("CN=" + name + ",OU=Groups,DC=corp,DC=example,DC=com")},
		{"groupType", encode("Security")},
		{"groupScope", encode(pick(g, []string{"Global", "Universal", "DomainLocal"}))},
		{"windowsDomainQualifiedName", encode("CORP\\" + account)},
		{"externalId", encode(guid)},
	}.encode()
}
