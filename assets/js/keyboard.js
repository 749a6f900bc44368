// True while the person writes somewhere: single-letter shortcuts must stay out of the way.
export const isTyping = (event) =>
  /^(INPUT|TEXTAREA|SELECT)$/.test(event.target?.tagName) || event.target?.isContentEditable;
