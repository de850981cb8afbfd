module github.com/holdfast-lb/holdfast/examples

go 1.26.0

require github.com/holdfast-lb/holdfast v0.0.0

replace github.com/holdfast-lb/holdfast => ../
