"""Sources of prices, one file each: what they are asked, and where in the answer price and time stand."""
