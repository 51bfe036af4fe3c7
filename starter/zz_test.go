package main
import ("testing";"testing/synctest";"time";"fmt")
func TestZZ(t *testing.T){ synctest.Test(t, func(t *testing.T){
 w := newFollowing(&fakeTemporal{progress: reading, end: after(2*time.Second)}, 80)
 _ = w.follow(t.Context(), followOptions{})
 fmt.Printf("%q\n", w.err.String())
 w = newFollowing(&fakeTemporal{end: after(7*time.Second)}, 80)
 _ = w.follow(t.Context(), followOptions{})
 fmt.Printf("%q\n%s", w.err.String(), w.out.String())
})}
