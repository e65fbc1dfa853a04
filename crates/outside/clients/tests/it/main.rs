//! Clients against real servers.

mod influxdb;
