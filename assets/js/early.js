// Runs before the first paint: a page opened with filters in its address hides the prerendered, unfiltered rows until the answer is here.
if (location.search.length > 1) document.documentElement.dataset.pending = "1";
