//! Schedules in the language of crontab(5), in any time zone.
