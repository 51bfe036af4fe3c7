package main

import (
	"image"
	"image/color"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStacked(t *testing.T) {
	t.Parallel()
	red, blue := color.RGBA{R: 255, A: 255}, color.RGBA{B: 255, A: 255}
	filled := func(r image.Rectangle, c color.RGBA) image.Image {
		img := image.NewRGBA(r)
		for i := r.Min.Y; i < r.Max.Y; i++ {
			for j := r.Min.X; j < r.Max.X; j++ {
				img.Set(j, i, c)
			}
		}
		return img
	}
	all := stacked([]image.Image{filled(image.Rect(0, 0, 4, 2), red), filled(image.Rect(7, 7, 9, 10), blue)})
	require.Equal(t, image.Rect(0, 0, 4, 5), all.Bounds())
	require.Equal(t, red, all.At(3, 1))
	require.Equal(t, blue, all.At(1, 4))
	require.Equal(t, color.RGBA{255, 255, 255, 255}, all.At(3, 2), "what is narrower leaves white")
}

func TestFindBrowserSaysWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("BROWSER_BIN", "")
	_, err := findBrowser()
	require.ErrorContains(t, err, "apt-get install chromium")
	t.Setenv("BROWSER_BIN", "/opt/browser")
	bin, err := findBrowser()
	require.NoError(t, err)
	require.Equal(t, "/opt/browser", bin)
}
