package mesh

func unpackInto(any) {}
