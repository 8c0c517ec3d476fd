"""The statements that only read: lists, counts, exports, conversations."""
