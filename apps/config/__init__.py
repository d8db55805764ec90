"""Settings, addresses, processes and the timetable: what joins the apps together."""
