package zz
import ("testing";"database/sql";"fmt";"time";"math/rand";"encoding/json"
_ "modernc.org/sqlite")
func TestSpike(t *testing.T){
 db,err:=sql.Open("sqlite","file:"+t.TempDir()+"/x.db?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_txlock=immediate&_pragma=cache_size(-65536)&_pragma=temp_store(MEMORY)&_pragma=wal_autocheckpoint(16384)")
 if err!=nil{t.Fatal(err)}
 db.SetMaxOpenConns(1)
 x:=func(q string,a...any){ if _,e:=db.Exec(q,a...);e!=nil{t.Fatal(q,e)} }
 x(`create table ids(key integer primary key, c int not null, type text not null, okta_id text not null, unique(c,type,okta_id))`)
 x(`create table edges(g int not null,m int not null,listed int not null default 0,live int not null default 0,dep int not null default 0,reason text not null default '',run int, primary key(g,m)) without rowid`)
 x(`create index em on edges(m,g)`)
 x(`create temp table page(m integer primary key, dep int not null)`)
 const U=100000
 ids:=make([]string,U)
 for i:=range ids{ids[i]=fmt.Sprintf("00u%017d",rand.Int63n(1e17))}
 b,_:=json.Marshal(ids)
 t0:=time.Now()
 x(`insert or ignore into ids(c,type,okta_id) select 1,'User',value from json_each(?)`,string(b))
 fmt.Println("intern",time.Since(t0))
 tot:=map[string]time.Duration{}
 step:=func(n string,f func()){s:=time.Now();f();tot[n]+=time.Since(s)}
 t0=time.Now()
 N:=300
 for g:=0;g<N;g++{
  p:=map[int]bool{}
  for len(p)<1000{p[rand.Intn(U)]=true}
  var l []string
  for k:=range p{l=append(l,ids[k])}
  b,_:=json.Marshal(l)
  tx,err:=db.Begin(); if err!=nil{t.Fatal(err)}
  e:=func(q string,a...any){ if _,e:=tx.Exec(q,a...);e!=nil{t.Fatal(q,e)} }
  step("intern",func(){e(`insert or ignore into ids(c,type,okta_id) select 1,'User',value from json_each(?)`,string(b))})
  step("page",func(){e(`insert into page select i.key,0 from json_each(?) j join ids i on i.c=1 and i.type='User' and i.okta_id=j.value`,string(b))})
  step("edges",func(){e(`insert into edges(g,m,listed) select ?,m,1 from page where true on conflict do update set listed=1,dep=excluded.dep where listed<>1 or dep<>excluded.dep`,g)})
  step("unlist",func(){e(`update edges set listed=0 where g=? and listed=1 and m not in (select m from page)`,g)})
  step("del",func(){e(`delete from page`)})
  step("commit",func(){tx.Commit()})
 }
 d:=time.Since(t0)
 fmt.Println(N,"groups",d,float64(N*1000)/d.Seconds(),tot)
}
