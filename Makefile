# Aliases for those whose fingers say make. The work is done by ./dev.
VERBS := demo test survival check bench up lock

.PHONY: help $(VERBS)
help:
	@./dev help

$(VERBS):
	@./dev $@
